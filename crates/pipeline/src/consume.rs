//! What a pipeline can be run into.

use crate::{
    Pipeline, PipelineError, PipelineStream, Summary,
    run::{Run, SinkPort},
};
use std::{
    fmt::{Debug, Display},
    future::Future,
};
use tidegate_core::Cx;

impl<T, E> Pipeline<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    /// Runs the pipeline and calls `consume` with each result, one after the other.
    ///
    /// It runs in the task of the caller and may borrow from it; the stages run in tasks of
    /// their own, so that neither waits for the other to be polled. An error of `consume`
    /// ends the run under either [`OnError`](crate::OnError).
    ///
    /// The futures of `consume` cannot hold a mutable borrow of what it captures; use
    /// [`stream`](Self::stream) and a loop for that.
    ///
    /// # Errors
    ///
    /// [`Reason::Item`](crate::Reason::Item) if an item failed under
    /// [`OnError::FailFast`](crate::OnError::FailFast) or in `consume`;
    /// [`Reason::Cancelled`](crate::Reason::Cancelled) if `cx` was cancelled before
    /// everything was done; [`Reason::Panicked`](crate::Reason::Panicked) if the source did.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the run: items on their way are dropped, and the scope
    /// `cx` belongs to waits until the workers have ended. Tested by
    /// `dropping_the_run_at_every_await_frees_everything`.
    pub async fn for_each<X, F, Fut>(
        self,
        cx: &Cx<X>,
        consume: F,
    ) -> Result<Summary<E>, PipelineError<E>>
    where
        F: FnMut(T) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let sink = self.sink.clone();
        let (run, consumer) = Run::new(self);
        let books = run.books().clone();
        let port = |shared| SinkPort::new(consumer, &sink, shared);
        books.close(run.drive(cx, |shared| port(shared).each(consume)).await)
    }

    /// Like [`for_each`](Self::for_each), with a synchronous function that gets as many
    /// results as are there, at least one. What it leaves in the vector is dropped and
    /// counts as consumed.
    ///
    /// If it fails, what it left counts as cancelled, one of the others as failed.
    ///
    /// # Errors
    ///
    /// As for [`for_each`](Self::for_each).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As for [`for_each`](Self::for_each). Tested by
    /// `dropping_the_run_at_every_await_frees_everything`.
    pub async fn for_each_chunk<X, F>(
        self,
        cx: &Cx<X>,
        consume: F,
    ) -> Result<Summary<E>, PipelineError<E>>
    where
        F: FnMut(&mut Vec<T>) -> Result<(), E>,
    {
        let sink = self.sink.clone();
        let (run, consumer) = Run::new(self);
        let books = run.books().clone();
        let port = |shared| SinkPort::new(consumer, &sink, shared);
        books.close(run.drive(cx, |shared| port(shared).each_chunk(consume)).await)
    }

    /// Runs the pipeline for what its stages do; results are counted and dropped.
    ///
    /// # Errors
    ///
    /// As for [`for_each`](Self::for_each).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As for [`for_each`](Self::for_each). Tested by
    /// `dropping_the_run_at_every_await_frees_everything`.
    pub async fn run<X>(self, cx: &Cx<X>) -> Result<Summary<E>, PipelineError<E>> {
        self.for_each_chunk(cx, |chunk| {
            chunk.clear();
            Ok(())
        })
        .await
    }

    /// Runs the pipeline and collects the results, all of which have to fit into memory.
    ///
    /// # Errors
    ///
    /// As for [`for_each`](Self::for_each); the results are dropped then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As for [`for_each`](Self::for_each). Tested by
    /// `dropping_the_run_at_every_await_frees_everything`.
    pub async fn collect<X>(self, cx: &Cx<X>) -> Result<(Vec<T>, Summary<E>), PipelineError<E>> {
        let mut results = Vec::new();
        let summary = self
            .for_each_chunk(cx, |chunk| {
                results.append(chunk);
                Ok(())
            })
            .await?;
        Ok((results, summary))
    }

    /// Runs the pipeline as a child of the scope `cx` belongs to, with its results as a
    /// stream.
    ///
    /// The stages run ahead of the consumer, up to the capacity of the last queue.
    ///
    /// Consume it inside of the scope: a stream that is returned from the body of the scope it
    /// was started in waits for nobody, and once the last queue is full the scope waits for the
    /// stream's run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream cancels the run; the scope `cx` belongs to waits until its workers
    /// have ended. An error that the run had not told yet is told by an event alone. Tested by
    /// `dropping_the_stream_cancels_the_run_and_frees_everything`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn stream<X>(self, cx: &Cx<X>) -> PipelineStream<T, E>
    where
        X: Display + Debug + Send + Sync + 'static,
    {
        PipelineStream::start(self, cx)
    }
}
