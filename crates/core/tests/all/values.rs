use crate::scope::Alive;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidegate_core::{App, Cx, Scope, scope};

#[derive(Clone, Debug, PartialEq, Eq)]
struct User(&'static str);

#[derive(Debug, PartialEq, Eq)]
struct Depth(usize);

fn seen(cx: &Cx<Infallible>) -> (Option<&'static str>, Option<usize>) {
    (cx.value::<User>().map(|user| user.0), cx.value::<Depth>().map(|depth| depth.0))
}

#[tokio::test]
async fn values_go_down_and_never_up_or_sideways() {
    Scope::builder("outer")
        .value(User("ann"))
        .run(async |cx: Cx<Infallible>| {
            assert_eq!(seen(&cx), (Some("ann"), None));
            let nested = Scope::builder("nested").parent(&cx).value(User("ben")).value(Depth(1));
            nested
                .run(async |cx: Cx<Infallible>| {
                    assert_eq!(seen(&cx), (Some("ben"), Some(1)));
                    let deeper = cx.scope("deeper", async |cx| Ok(seen(&cx))).await.unwrap();
                    assert_eq!(deeper, (Some("ben"), Some(1)));
                    let child = cx.clone();
                    let in_child = cx.spawn("child", async move { Ok(seen(&child)) });
                    assert_eq!(in_child.await.unwrap(), (Some("ben"), Some(1)));
                    Ok(())
                })
                .await
                .unwrap();
            let sibling = cx.scope("sibling", async |cx| Ok(seen(&cx))).await.unwrap();
            assert_eq!(sibling, (Some("ann"), None));
            assert_eq!(seen(&cx), (Some("ann"), None));
            let apart = scope("apart", async |cx| Ok(seen(&cx))).await.unwrap();
            assert_eq!(apart, (None, None), "another tree");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_app_hands_values_down_to_the_whole_program() {
    let report = App::new("app").value(User("root")).run(async |cx: Cx<Infallible>| {
        Ok(cx.scope("jobs", async |cx: Cx<Infallible>| Ok(seen(&cx))).await.unwrap())
    });
    assert_eq!(report.await.into_result().unwrap(), (Some("root"), None));
}

#[tokio::test]
async fn a_value_is_dropped_when_nobody_can_ask_for_it() {
    let alive = Arc::new(AtomicUsize::new(0));
    let job = Scope::builder("job").value(Alive::new(&alive));
    let kept = job.run(async |cx: Cx<Infallible>| Ok(cx)).await.unwrap();
    assert!(kept.value::<Alive>().is_some());
    drop(kept);
    assert_eq!(alive.load(Ordering::SeqCst), 0);

    let job = Scope::builder("job").value(Alive::new(&alive));
    job.run(async |cx: Cx<Infallible>| {
        let child = cx.clone();
        cx.spawn("child", async move {
            child.cancelled().await;
            Ok(())
        });
        cx.cancel("enough");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0, "before the scope returns");

    let never_run = Scope::builder("job").value(Alive::new(&alive));
    drop(never_run);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_value_whose_destructor_panics_takes_nobody_along() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("from a destructor");
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let job = Scope::builder("job").value(Bomb).value(Alive::new(&alive));
    assert_eq!(job.run(async |_: Cx<Infallible>| Ok(7)).await.unwrap(), 7);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}
