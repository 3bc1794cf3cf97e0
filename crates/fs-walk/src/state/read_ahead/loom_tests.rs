use super::*;
use loom::thread;
use tidegate_core::sync::Arc;

type Ahead = ReadAhead<u32, u32>;

fn read(ahead: &Ahead) {
    while let Some((key, job)) = ahead.next() {
        match ahead.progress(key, 1, 1) {
            Advice::Go => _ = ahead.complete(key, job, 1),
            Advice::Leave => _ = ahead.leave(key, job),
        }
    }
}

#[test]
fn loom_the_emitter_gets_every_place_in_its_order() {
    loom::model(|| {
        let ahead = Arc::new(Ahead::new(1));
        let keys = ahead.add(None, vec![1, 2]);
        let reader = {
            let ahead = Arc::clone(&ahead);
            thread::spawn(move || read(&ahead))
        };
        for (key, expected) in keys.into_iter().zip(1..) {
            match ahead.take(key) {
                Taken::Job(got) | Taken::Listing(got) => assert_eq!(got, expected),
                Taken::Stopped => panic!("nobody stopped it"),
            }
        }
        ahead.stop();
        reader.join().expect("no panic");
        assert_eq!(lock(&ahead.state).buffered, 0);
    });
}

#[test]
fn loom_a_window_of_nothing_never_blocks_the_emitter() {
    loom::model(|| {
        let ahead = Arc::new(Ahead::new(0));
        let keys = ahead.add(None, vec![1]);
        let reader = {
            let ahead = Arc::clone(&ahead);
            thread::spawn(move || read(&ahead))
        };
        assert_eq!(ahead.take(keys[0]), Taken::Job(1));
        ahead.stop();
        reader.join().expect("no panic");
    });
}

#[test]
fn loom_discarding_what_is_being_read_keeps_the_window_exact() {
    loom::model(|| {
        let ahead = Arc::new(Ahead::new(4));
        let keys = ahead.add(None, vec![1, 2]);
        let reader = {
            let ahead = Arc::clone(&ahead);
            thread::spawn(move || read(&ahead))
        };
        let _ = ahead.discard(keys[0]);
        assert!(!matches!(ahead.take(keys[1]), Taken::Stopped));
        ahead.stop();
        reader.join().expect("no panic");
        assert_eq!(lock(&ahead.state).buffered, 0);
    });
}
