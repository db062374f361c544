//! The contract of a database that read models are in.

use std::collections::HashSet;
use std::future::Future;
use std::ops::DerefMut;

use griot_core::{EntityId, Epoch, Timestamp};

use crate::{Comparison, Mark, Parked, ProjectionError, Slice, Standing};

type Answer<T> = Result<T, ProjectionError>;

/// A database that keeps read models, and beside them, in the same transactions, where their
/// projections stand.
///
/// What a projection promises is made here in this crate, out of these few steps; an adapter only
/// stores rows. Every target passes the Projection suite of `griot-testkit`.
///
/// # Errors
///
/// Each gives [`ProjectionError::Target`] for what its client says; it is tried again.
///
/// # Cancel safety
///
/// A future that is dropped leaves its transaction to be rolled back, save that of
/// [`commit`](Target::commit), after which it may be committed.
pub trait Target: Clone + Send + Sync + 'static {
    /// What handlers write with.
    type Connection: Send;
    /// A transaction. Dropped, it is rolled back.
    type Transaction: DerefMut<Target = Self::Connection> + Send + 'static;

    /// Begins a transaction that may write.
    fn begin(&self) -> impl Future<Output = Answer<Self::Transaction>> + Send;

    /// Begins a transaction that may write, and that no power cut takes back once it is committed: what was handled
    /// in it may be forgotten where it came from. The same as [`begin`](Target::begin) where that promises as much.
    fn begin_durable(&self) -> impl Future<Output = Answer<Self::Transaction>> + Send {
        self.begin()
    }

    /// Begins a transaction that only reads, and holds up nobody.
    fn begin_reading(&self) -> impl Future<Output = Answer<Self::Transaction>> + Send;

    /// Commits it.
    fn commit(&self, transaction: Self::Transaction) -> impl Future<Output = Answer<()>> + Send;

    /// What a handler's statement met in this transaction, where one failed: then nothing of it is committed,
    /// whatever the handler says.
    fn fault(&self, transaction: &mut Self::Transaction) -> Option<Fault>;

    /// Where a slice stands. Until the transaction ends nobody else changes that.
    fn load(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
    ) -> impl Future<Output = Answer<Option<Standing>>> + Send;

    /// Where all slices of a projection stand, in order.
    fn slices(
        &self,
        transaction: &mut Self::Transaction,
        projection: &str,
    ) -> impl Future<Output = Answer<Vec<Standing>>> + Send;

    /// Stores where a new slice stands; an error where there is one already.
    fn insert(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        standing: &Standing,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Stores where a slice stands, if its stored epoch is `held`; gives the number of rows changed.
    fn store(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        held: Epoch,
        standing: &Standing,
    ) -> impl Future<Output = Answer<u64>> + Send;

    /// Forgets a slice.
    fn remove(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// The parked entities of a slice.
    fn parked(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
    ) -> impl Future<Output = Answer<Vec<Parked>>> + Send;

    /// Parks an entity, or changes what is stored of it.
    fn park(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        parked: &Parked,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Forgets that an entity was parked.
    fn unpark(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        entity: &EntityId,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Remembers these messages, no two of them the same, as handled at `at`; gives those that the projection
    /// knew already. Where another transaction remembers one of them at the same time, it waits for that one or fails.
    fn remember(
        &self,
        transaction: &mut Self::Transaction,
        projection: &str,
        marks: &[Mark],
        at: Timestamp,
    ) -> impl Future<Output = Answer<HashSet<Mark>>> + Send;

    /// Forgets messages that were handled before `before`, `max` of them at most; gives their number.
    fn forget(
        &self,
        transaction: &mut Self::Transaction,
        projection: &str,
        before: Timestamp,
        max: u32,
    ) -> impl Future<Output = Answer<u64>> + Send;
}

/// Whose fault it is that a handler's statement failed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The database's: it was stopped, is full, or chose the transaction to break a deadlock. The event is
    /// handled again as often as it takes, and never counts as poison.
    Database(ProjectionError),
    /// The statement's, for this reason: it counts as a failure of the handler.
    Statement(String),
}

/// A target in which tables can be made anew beside the live ones.
pub trait RebuildTarget: Target {
    /// The place beside this one where a projection is rebuilt, with its tables empty or as an earlier
    /// rebuild left them. The same statements work there.
    fn beside(&self, projection: &str) -> impl Future<Output = Answer<Self>> + Send;

    /// Begins a transaction here that sees the place beside as well, for the two methods that follow.
    fn begin_with(&self, beside: &Self) -> impl Future<Output = Answer<Self::Transaction>> + Send;

    /// Counts where the rows of these tables differ.
    fn compare(
        &self,
        transaction: &mut Self::Transaction,
        tables: &[String],
    ) -> impl Future<Output = Answer<Vec<Comparison>>> + Send;

    /// Puts the rows from beside in place of the live ones.
    fn replace(
        &self,
        transaction: &mut Self::Transaction,
        tables: &[String],
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Throws the place beside away.
    fn discard(&self, beside: Self) -> impl Future<Output = Answer<()>> + Send;
}
