//! Bulkheads by name.

use crate::{
    Acquire, Bulkhead, BulkheadBuilder, ConfigError, Permit, Rejected, UnknownCompartment,
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use tidegate_core::Name;

/// A set of bulkheads, each for one resource: when one of them is full, the others are not concerned. Clones
/// share them.
///
/// ```
/// use tidegate_bulkhead::{Bulkhead, Compartments};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let compartments = Compartments::builder()
///     .add("db", 10)
///     .add_with("search", Bulkhead::builder(4).max_waiting(100))
///     .build()
///     .unwrap();
/// let permit = compartments.acquire("db").unwrap().await.unwrap();
/// assert_eq!(compartments.get("db").unwrap().in_use(), 1);
///
/// let error = compartments.try_acquire("bd").unwrap_err();
/// assert_eq!(error.to_string(), "no compartment `bd`; there are `db`, `search`");
/// # drop(permit);
/// # }
/// ```
#[derive(Clone)]
pub struct Compartments {
    bulkheads: Arc<BTreeMap<Box<str>, Bulkhead>>,
}

impl Compartments {
    /// A set to be built, empty so far.
    pub fn builder() -> CompartmentsBuilder {
        CompartmentsBuilder { added: Vec::new() }
    }

    /// The compartment of that name.
    ///
    /// # Errors
    ///
    /// If there is none: which ones there are.
    pub fn get(&self, name: &str) -> Result<&Bulkhead, UnknownCompartment> {
        self.bulkheads.get(name).ok_or_else(|| UnknownCompartment {
            name: name.to_owned(),
            known: self.iter().map(|bulkhead| bulkhead.name().clone()).collect(),
        })
    }

    /// Takes a permit of that compartment, or none.
    ///
    /// # Errors
    ///
    /// If there is no such compartment, and as [`Bulkhead::try_acquire`].
    pub fn try_acquire(&self, name: &str) -> Result<Permit, Rejected> {
        Ok(self.get(name)?.try_acquire()?)
    }

    /// Waits for a permit of that compartment: as [`Bulkhead::acquire`].
    ///
    /// # Errors
    ///
    /// If there is no such compartment.
    #[track_caller]
    pub fn acquire(&self, name: &str) -> Result<Acquire, UnknownCompartment> {
        Ok(self.get(name)?.acquire())
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Bulkhead> {
        self.bulkheads.values()
    }

    /// Closes all of them.
    pub fn close(&self) {
        self.iter().for_each(Bulkhead::close);
    }

    /// Waits until nothing is in use of any of them, one after the other: [close](Self::close) them first.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing. Tested by
    /// `waiting_for_all_compartments_to_drain_gives_up_everything_at_every_await`.
    pub async fn drained(&self) {
        for bulkhead in self.iter() {
            bulkhead.drained().await;
        }
    }
}

impl fmt::Debug for Compartments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Builds [`Compartments`]: by [`Compartments::builder`].
#[derive(Clone, Debug)]
#[must_use = "compartments are made by `build`"]
pub struct CompartmentsBuilder {
    added: Vec<(Name, BulkheadBuilder)>,
}

impl CompartmentsBuilder {
    /// A compartment of so many permits.
    pub fn add(self, name: impl Into<Name>, capacity: u32) -> Self {
        self.add_with(name, Bulkhead::builder(capacity))
    }

    /// A compartment that is more than a number. Its name is the one that is given here.
    pub fn add_with(mut self, name: impl Into<Name>, bulkhead: BulkheadBuilder) -> Self {
        let name = name.into();
        self.added.push((name.clone(), bulkhead.name(name)));
        self
    }

    /// Builds all of them.
    ///
    /// # Errors
    ///
    /// If two have one name, or one of them cannot be built.
    #[track_caller]
    pub fn build(self) -> Result<Compartments, ConfigError> {
        let mut bulkheads = BTreeMap::new();
        for (name, builder) in self.added {
            let bulkhead = builder.build().map_err(|error| ConfigError::Compartment {
                name: name.clone(),
                error: Box::new(error),
            })?;
            if bulkheads.insert(name.as_str().into(), bulkhead).is_some() {
                return Err(ConfigError::DuplicateCompartment { name });
            }
        }
        Ok(Compartments { bulkheads: Arc::new(bulkheads) })
    }
}
