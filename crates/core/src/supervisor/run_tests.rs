//! What a run keeps.

use super::*;
use crate::{
    scope,
    supervisor::{Restart, Supervisor},
};

#[tokio::test]
async fn nothing_is_kept_of_a_child_that_has_ended() {
    let child = ChildSpec::new("a", async |_: Cx<&str>| Ok(()));
    let sup = Supervisor::builder("sup").child(child.restart(Restart::Temporary)).build().unwrap();
    let shared = sup.into_shared();
    let app = scope("app", async |cx: Cx<SupervisorError>| {
        let mut run = Run::begin(&shared, &cx)?;
        assert_eq!(run.tokens.len(), 1);
        for letter in poll_fn(|cx| shared.mail.poll(cx)).await {
            run.read(letter);
        }
        assert!(run.tokens.is_empty());
        assert!(shared.with(|core| core.specs.is_empty()));
        Ok(())
    });
    app.await.unwrap();
}
