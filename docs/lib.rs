//! The pages of the site as doctests.
