//! Bulkheads by name.

use crate::SECOND;
use std::cell::RefCell;
use tidegate_bulkhead::{Bulkhead, Compartments, ConfigError, Rejected, TryAcquireError};
use tidegate_testkit::cancel_everywhere;
use tokio::time::sleep;

#[test]
fn compartments_do_not_concern_each_other() {
    let compartments = Compartments::builder()
        .add("db", 2)
        .add_with("search", Bulkhead::builder(1).name("its name is the one above"))
        .build()
        .unwrap();
    let permits = [(); 2].map(|()| compartments.try_acquire("db").unwrap());
    let full = compartments.try_acquire("db").unwrap_err();
    assert!(matches!(full, Rejected::Now(TryAcquireError::Full { in_use: 2, .. })), "{full}");
    let other = compartments.try_acquire("search").unwrap();
    let names: Vec<_> = compartments.iter().map(|bulkhead| bulkhead.name().to_string()).collect();
    assert_eq!(names, ["db", "search"]);
    compartments.clone().close();
    let closed = compartments.try_acquire("search").unwrap_err();
    assert_eq!(closed, TryAcquireError::Closed.into());
    drop((permits, other));
    assert!(compartments.iter().all(|bulkhead| bulkhead.in_use() == 0));
    let text = format!("{compartments:?}");
    assert!(text.contains("db") && text.contains("search"), "{text}");
}

#[test]
fn an_unknown_name_is_an_error_that_tells_the_known_ones() {
    let compartments = Compartments::builder().add("db", 2).add("search", 1).build().unwrap();
    let error = compartments.get("dbb").unwrap_err();
    assert_eq!(error.name(), "dbb");
    assert_eq!(error.known().len(), 2);
    assert_eq!(error.to_string(), "no compartment `dbb`; there are `db`, `search`");
    assert!(compartments.acquire("").is_err());
    let one = Compartments::builder().add("db", 2).build().unwrap();
    assert_eq!(one.get("x").unwrap_err().to_string(), "no compartment `x`; there is `db`");
    let none = Compartments::builder().build().unwrap();
    assert_eq!(none.get("x").unwrap_err().to_string(), "no compartment `x`; there are none");
}

#[test]
fn compartments_that_cannot_be_are_named() {
    let error = Compartments::builder().add("db", 2).add("db", 3).build().unwrap_err();
    assert_eq!(error, ConfigError::DuplicateCompartment { name: "db".into() });
    let error = Compartments::builder().add("db", 0).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "compartment `db`: the capacity is zero: nothing would ever enter"
    );
}

#[test]
fn waiting_for_all_compartments_to_drain_gives_up_everything_at_every_await() {
    cancel_everywhere(
        || {
            let compartments =
                Compartments::builder().add("db", 1).add("search", 1).build().unwrap();
            let permits = ["db", "search"].map(|name| compartments.try_acquire(name).ok());
            (compartments, RefCell::new(permits))
        },
        async |(compartments, permits)| {
            let release = async {
                for n in [1, 0] {
                    sleep(SECOND).await;
                    permits.borrow_mut()[n] = None;
                }
            };
            compartments.close();
            let drained = async {
                compartments.drained().await;
                assert!(compartments.iter().all(|bulkhead| bulkhead.in_use() == 0));
            };
            tokio::join!(release, drained);
        },
        async |(compartments, permits), point| {
            drop(permits.take());
            assert!(compartments.iter().all(|bulkhead| bulkhead.in_use() == 0), "{point}");
            compartments.drained().await;
        },
    )
    .assert_covered(3);
}
