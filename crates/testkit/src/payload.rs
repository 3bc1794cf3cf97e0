//! What a panic says.

use std::any::Any;

/// The message of a panic, if it is one.
pub(crate) fn text(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is not text".to_owned())
}
