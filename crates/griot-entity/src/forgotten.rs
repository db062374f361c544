//! The outcome of an effect that its entity does not know: the events that recorded the effect were
//! deleted, and the journal kept the effect for the sake of its outcome.

use griot_core::{Cx, EffectId, Entity};

use crate::delivery::{BoxDelivery, Delivery, Target, Verdict};
use crate::error::Failure;

/// Such an outcome, on its way to be settled in the journal. The entity is told nothing; whoever
/// brought it is told that it is settled.
pub(crate) struct Forgotten<E: Entity>(pub(crate) BoxDelivery<E>);

impl<E: Entity> Delivery<E> for Forgotten<E> {
    fn target(&self) -> &Target {
        self.0.target()
    }

    fn settles(&self) -> Option<EffectId> {
        self.0.settles()
    }

    fn is_external(&self) -> bool {
        false
    }

    fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }

    fn decide(&mut self, _: &E, _: &mut Cx<E>) -> Verdict {
        Verdict::Accepted
    }

    fn release(self: Box<Self>) {
        self.0.fail(Failure::Settled);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.0.fail(failure);
    }
}
