//! One life of a child, as the task that it is.

use super::{
    SupervisorError,
    builder::Shared,
    mailbox::{End, Mail},
    spec::Running,
    state::ChildId,
};
use crate::{CancelToken, panic::drop_quietly, sync::Arc};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// One life of a child, with its word that it is up.
pub(super) struct Life {
    pub(super) running: Running,
    pub(super) told: Option<oneshot::Receiver<()>>,
    pub(super) token: CancelToken,
    pub(super) post: Post,
}

impl Future for Life {
    type Output = Result<(), SupervisorError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let life = &mut *self;
        let ended = life.running.as_mut().poll(cx);
        if let Some(told) = &mut life.told {
            let told = Pin::new(told).poll(cx);
            if let Poll::Ready(told) = told {
                life.told = None;
                match told {
                    Ok(()) => life.post.ready(),
                    // One that is ending says more by its end.
                    Err(_) if ended.is_ready() || life.token.is_cancelled() => {}
                    Err(_) => life.post.never_ready(),
                }
            }
        }
        let Poll::Ready(end) = ended else { return Poll::Pending };
        life.post.end = Some(end);
        Poll::Ready(Ok(()))
    }
}

/// A child's post to its supervisor: the end is told when it is dropped, which is after the rest
/// of the child.
pub(super) struct Post {
    shared: Arc<Shared>,
    id: ChildId,
    incarnation: u64,
    end: Option<End>,
}

impl Post {
    pub(super) fn new(shared: &Arc<Shared>, id: ChildId, incarnation: u64) -> Self {
        shared.mail.born();
        Self { shared: Arc::clone(shared), id, incarnation, end: None }
    }

    fn ready(&self) {
        let Self { id, incarnation, .. } = *self;
        // Nobody reads it any more, if it comes back.
        drop(self.shared.mail.post(Mail::Ready { id, incarnation }));
    }

    fn never_ready(&self) {
        let Self { id, incarnation, .. } = *self;
        drop(self.shared.mail.post(Mail::NeverReady { id, incarnation }));
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let Self { id, incarnation, .. } = *self;
        let end = self.end.take().unwrap_or_else(End::aborted);
        if let Err(unread) = self.shared.mail.died(Mail::Ended { id, incarnation, end }) {
            drop_quietly(unread);
        }
    }
}
