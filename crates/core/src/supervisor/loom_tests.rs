//! Models of the mailbox: run with `--cfg tidegate_loom`.

use super::{
    mailbox::{Mail, Mailbox},
    state::ChildId,
};
use crate::{
    cancel::loom_tests::model,
    sync::{Arc, thread},
};
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

fn mailbox() -> Arc<Mailbox<u32>> {
    let mailbox = Arc::new(Mailbox::new());
    assert!(mailbox.open());
    mailbox
}

fn commands(mail: Vec<Mail<u32>>) -> Vec<u32> {
    let command = |mail| if let Mail::Command(command) = mail { Some(command) } else { None };
    mail.into_iter().filter_map(command).collect()
}

/// Reads until there were so many letters.
fn read(mailbox: &Mailbox<u32>, letters: usize) -> Vec<Mail<u32>> {
    let mut all = Vec::new();
    while all.len() < letters {
        all.extend(loom::future::block_on(poll_fn(|cx| mailbox.poll(cx))));
    }
    all
}

/// What there is now.
fn glance(mailbox: &Mailbox<u32>) -> Vec<Mail<u32>> {
    match mailbox.poll(&Context::from_waker(Waker::noop())) {
        Poll::Ready(mail) => mail,
        Poll::Pending => Vec::new(),
    }
}

#[test]
fn loom_no_letter_is_lost_and_each_writers_come_in_order() {
    model("no_letter_is_lost_and_each_writers_come_in_order", || {
        let mailbox = mailbox();
        let other = Arc::clone(&mailbox);
        let writer = thread::spawn(move || {
            for command in [1, 2] {
                assert!(other.post(Mail::Command(command)).is_ok());
            }
        });
        let another = Arc::clone(&mailbox);
        let third = thread::spawn(move || assert!(another.post(Mail::Command(3)).is_ok()));
        let read = commands(read(&mailbox, 3));
        let place = |command| read.iter().position(|read| *read == command).unwrap();
        assert!(place(1) < place(2) && place(3) < 3);
        writer.join().unwrap();
        third.join().unwrap();
    });
}

#[test]
fn loom_a_command_is_read_or_given_back() {
    model("a_command_is_read_or_given_back", || {
        let mailbox = mailbox();
        let writers = [[1, 2], [4, 8], [16, 32]].map(|commands| {
            let mailbox = Arc::clone(&mailbox);
            let post = move |command| match mailbox.post(Mail::Command(command)) {
                Err(Mail::Command(refused)) => refused,
                Ok(()) => 0,
                Err(_) => unreachable!(),
            };
            thread::spawn(move || commands.map(post).iter().sum::<u32>())
        });
        let mut mail = glance(&mailbox);
        mail.extend(mailbox.close());
        let read: u32 = commands(mail).iter().sum();
        let refused: u32 = writers.map(|writer| writer.join().unwrap()).iter().sum();
        assert_eq!(read + refused, 63, "each of them once");
        assert!(!mailbox.is_open() && glance(&mailbox).is_empty());
    });
}

#[test]
fn loom_a_run_begins_when_the_children_of_the_last_one_have_ended() {
    model("a_run_begins_when_the_children_of_the_last_one_have_ended", || {
        let mailbox = mailbox();
        let children = [0, 1, 2].map(|_| {
            mailbox.born();
            let mailbox = Arc::clone(&mailbox);
            let (id, incarnation) = (ChildId::first(), 1);
            thread::spawn(move || {
                let ready = mailbox.post(Mail::Ready { id, incarnation }).is_ok();
                // Any letter will do.
                let end = mailbox.died(Mail::Ready { id, incarnation }).is_ok();
                usize::from(ready) + usize::from(end)
            })
        });
        let left = mailbox.close().len();
        let is_again = mailbox.open();
        let posted: usize = children.map(|child| child.join().unwrap()).iter().sum();
        assert_eq!(glance(&mailbox).len(), posted - left, "all that was not refused is there");
        assert!(!is_again || left == posted, "nothing of the last run reaches the next");
    });
}
