//! Breakers: what a call costs while all is well, and whether they open and close when they should.

mod correct;
mod direct;
mod layer;
pub(crate) mod services;
mod window;

use crate::{Plan, contest::Ratio};

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut ratios = correct::run();
    ratios.extend(direct::run(plan));
    ratios.extend(layer::run(plan));
    ratios.extend(window::run(plan));
    ratios
}
