//! Bulkheads: what a permit costs while there is room.

mod direct;
mod layer;
pub(crate) mod services;

use crate::{Plan, contest::Ratio};

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = direct::run(plan);
    ratios.extend(layer::run(plan));
    ratios
}
