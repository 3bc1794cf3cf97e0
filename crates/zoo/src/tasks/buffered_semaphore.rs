//! A permit that is given to a future of a stream, which nobody polls at the moment.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use futures::{StreamExt as _, stream};
use tokio::{sync::Semaphore, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "buffered-semaphore",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/futures-rs", 2387),
    about: "the body of a loop over `buffer_unordered` wants a permit that the buffer holds",
    tests: everywhere!(scenario),
};

async fn query(database: &Semaphore, id: u32) -> u32 {
    let _connection = database.acquire().await.unwrap();
    yield_now().await;
    id
}

async fn scenario(variant: Variant) {
    let database = Semaphore::new(2);
    let mut rows = stream::iter(0..4).map(|id| query(&database, id)).buffer_unordered(3);
    let mut sum = 0;
    if variant.has_bug() {
        while let Some(row) = rows.next().await {
            sum += query(&database, row).await;
        }
    } else {
        for row in rows.collect::<Vec<_>>().await {
            sum += query(&database, row).await;
        }
    }
    assert_eq!(sum, 6);
}
