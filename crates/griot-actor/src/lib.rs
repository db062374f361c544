//! Actors in memory: state that lives in one task, is reached through a bounded mailbox, fails alone,
//! is made anew, and gives back what it did not do.
//!
//! ```
//! use std::time::Duration;
//! use griot_actor::{Actor, Context, Handle, System};
//!
//! #[derive(Default)]
//! struct Account {
//!     balance: u64,
//! }
//!
//! struct Deposit(u64);
//! struct Withdraw(u64);
//!
//! #[derive(Debug, PartialEq)]
//! struct Overdrawn;
//!
//! impl Actor for Account {
//!     type Messages = (Deposit, Withdraw);
//! }
//!
//! impl Handle<Deposit> for Account {
//!     type Reply = ();
//!
//!     async fn handle(&mut self, Deposit(amount): Deposit, _: &mut Context<Self>) {
//!         self.balance += amount;
//!     }
//! }
//!
//! impl Handle<Withdraw> for Account {
//!     type Reply = Result<u64, Overdrawn>;
//!
//!     async fn handle(
//!         &mut self,
//!         Withdraw(amount): Withdraw,
//!         _: &mut Context<Self>,
//!     ) -> Result<u64, Overdrawn> {
//!         self.balance = self.balance.checked_sub(amount).ok_or(Overdrawn)?;
//!         Ok(self.balance)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let system = System::new();
//!     let account = system.spawn("account-1", Account::default)?;
//!     account.tell(Deposit(100)).await?;
//!
//!     let second = Duration::from_secs(1);
//!     assert_eq!(account.ask(Withdraw(30), second).await?, Ok(70));
//!     assert_eq!(account.ask(Withdraw(90), second).await?, Err(Overdrawn));
//!
//!     system.shutdown(Duration::from_secs(20)).await;
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//!
//! * **Order**: the messages of one sender are handled in the order in which they were sent. Control
//!   (stop, drain, kill, notices of ended actors) and an actor's own timers go ahead of them.
//! * **Bounds**: a mailbox holds at most its capacity, besides the one batch the actor works through.
//!   [`ActorRef::tell`] waits for room, [`ActorRef::try_tell`] hands the message back.
//! * **Nothing lost on the way out**: [`ActorRef::stop`] finishes the current message and hands back
//!   every pending one, [`ActorRef::drain`] handles all, [`ActorRef::kill`] ends at once. A message
//!   that nobody will handle is with its sender, or counted among the [`DeadLetters`].
//! * **Failure**: a panic in a handler ends that message, not the actor: it is made anew by its
//!   factory after a jittered [`Backoff`], under the same [`ActorRef`] and with the same mailbox,
//!   until [`Supervision`] has had enough and tells its parent.
//! * **Ends**: an actor's name is free before its end is announced.
//!
//! # What to beware of
//!
//! An actor handles one message at a time, so one that awaits an answer from itself, or from another
//! that awaits it, waits in vain: every [`ActorRef::ask`] has a deadline, and ends with
//! [`AskError::Deadline`]. Likewise a `tell` into a full mailbox in a circle of actors waits for ever:
//! use `try_tell` in circles. Nothing here is durable, and nothing leaves the process.
//!
//! # The parts
//!
//! [`Actor`] and [`Handle`] are what you write, [`Context`] what your handlers are given, [`ActorRef`]
//! what others hold. [`Workers`] share one inbox and are directed into a [`Pipeline`]. [`System`] is
//! where they live; there are no globals. [`Probe`] and `TestClock` (feature `test-clock`) are for
//! tests. [`mailbox`] is the queue below it all, and can be used alone.

pub mod mailbox;

#[cfg(not(loom))]
mod actor;
#[cfg(not(loom))]
mod actor_ref;
#[cfg(not(loom))]
mod cell;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod control;
#[cfg(not(loom))]
mod dead_letter;
#[cfg(not(loom))]
pub mod deadlines;
#[cfg(not(loom))]
mod foreman;
#[cfg(not(loom))]
pub mod messages;
#[cfg(not(loom))]
mod pipeline;
#[cfg(not(loom))]
mod probe;
#[cfg(not(loom))]
mod recipient;
#[cfg(not(loom))]
mod supervision;
#[cfg(not(loom))]
mod system;
#[cfg(all(not(loom), feature = "test-clock"))]
mod test_clock;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod workers;

#[cfg(all(not(loom), feature = "test-clock"))]
pub use crate::test_clock::TestClock;
#[cfg(not(loom))]
pub use crate::{
    actor::{Actor, Ended, Failure, Handle},
    actor_ref::{ActorRef, AskError, Pending},
    context::{Context, Terminated},
    dead_letter::{DeadCause, DeadLetter, DeadLetters},
    mailbox::{Closed, TrySendError},
    pipeline::Pipeline,
    probe::Probe,
    recipient::Recipient,
    supervision::{AtLimit, Backoff, Supervision},
    system::{NameTaken, Settings, Shutdown, System},
    timer::TimerKey,
    workers::{Crew, Exception, Workers},
};
