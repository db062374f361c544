//! The plumbing that lets an actor name its messages as a tuple, and stores each inline.
//!
//! An actor's mailbox holds one enum with a variant for each message type of the tuple, so a message
//! costs no allocation and its handler is called directly. Nothing here needs to be named in
//! ordinary code; the bounds appear in the signatures of [`ActorRef`](crate::ActorRef).

use std::collections::VecDeque;
use std::future::Future;

use tokio::sync::oneshot;

use crate::{Actor, Context, Handle};

/// What an actor's mailbox holds.
pub(crate) type Envelope<A> = <<A as Actor>::Messages as Messages<A>>::Envelope;

/// A tuple of one to twelve message types, each of which `A` handles.
pub trait Messages<A>: 'static {
    /// One of the messages, with the place its reply goes to.
    type Envelope: Send + 'static;

    /// Hands messages to the actor's handlers, and their replies to whoever asked: the first of
    /// `batch`, and further ones up to `count` while nothing else asks for the actor's attention.
    fn dispatch(
        batch: &mut VecDeque<Self::Envelope>,
        count: u32,
        actor: &mut A,
        cx: &mut Context<A>,
    ) -> impl Future<Output = ()> + Send
    where
        A: Actor;

    /// The name of the message's type, for people.
    fn type_name(envelope: &Self::Envelope) -> &'static str;
}

/// `M` is the message at place `At` of a tuple.
pub trait Contains<A: Handle<M>, M: Send + 'static, At>: Messages<A> {
    /// Puts the message into the actor's envelope.
    fn wrap(packet: Packet<M, A::Reply>) -> Self::Envelope;

    /// Takes the message out again.
    ///
    /// # Errors
    ///
    /// The envelope itself, if it holds another type of message.
    fn unwrap(envelope: Self::Envelope) -> Result<Packet<M, A::Reply>, Self::Envelope>;
}

/// An actor that lists `M` among its [`Actor::Messages`]; the compiler finds `At`.
pub trait Receives<M: Send + 'static, At>:
    Handle<M> + Actor<Messages: Contains<Self, M, At>>
{
}

impl<A, M: Send + 'static, At> Receives<M, At> for A where
    A: Handle<M> + Actor<Messages: Contains<A, M, At>>
{
}

/// A place in a tuple.
#[derive(Debug)]
pub enum At<const PLACE: usize> {}

/// A message, and where its reply goes if somebody asked.
#[derive(Debug)]
pub struct Packet<M, R> {
    pub(crate) message: M,
    pub(crate) reply_to: Option<oneshot::Sender<R>>,
}

macro_rules! contains {
    ($Envelope:ident ($($M:ident)+) $This:ident $place:literal) => {
        impl<A, $($M),+> Contains<A, $This, At<$place>> for ($($M,)+)
        where
            A: $(Handle<$M> +)+,
            $($M: Send + 'static),+
        {
            fn wrap(packet: Packet<$This, <A as Handle<$This>>::Reply>) -> Self::Envelope {
                $Envelope::$This(packet)
            }

            fn unwrap(
                envelope: Self::Envelope,
            ) -> Result<Packet<$This, <A as Handle<$This>>::Reply>, Self::Envelope> {
                match envelope {
                    $Envelope::$This(packet) => Ok(packet),
                    #[allow(unreachable_patterns, reason = "a tuple of one has one variant")]
                    other => Err(other),
                }
            }
        }
    };
}

macro_rules! messages {
    ($Envelope:ident $all:tt $($M:ident $place:literal),+) => {
        #[doc = "The messages of a tuple, one variant each."]
        #[derive(Debug)]
        pub enum $Envelope<$($M),+> {
            $(
                #[doc = "The message at this place of the tuple."]
                $M($M),
            )+
        }

        impl<A, $($M),+> Messages<A> for ($($M,)+)
        where
            A: $(Handle<$M> +)+,
            $($M: Send + 'static),+
        {
            type Envelope = $Envelope<$(Packet<$M, <A as Handle<$M>>::Reply>),+>;

            async fn dispatch(
                batch: &mut VecDeque<Self::Envelope>,
                count: u32,
                actor: &mut A,
                cx: &mut Context<A>,
            ) {
                for _ in 0..count {
                    match batch.pop_front() {
                        None => return,
                        $(Some($Envelope::$M(Packet { message, reply_to })) => {
                            let reply = actor.handle(message, cx).await;
                            if let Some(reply_to) = reply_to {
                                // Whoever asked may have given up meanwhile.
                                drop(reply_to.send(reply));
                            }
                        })+
                    }
                    if cx.needs_attention() {
                        return;
                    }
                }
            }

            fn type_name(envelope: &Self::Envelope) -> &'static str {
                match envelope {
                    $($Envelope::$M(_) => std::any::type_name::<$M>(),)+
                }
            }
        }

        $(contains!($Envelope $all $M $place);)+
    };
}

messages!(Envelope1 (M1) M1 1);
messages!(Envelope2 (M1 M2) M1 1, M2 2);
messages!(Envelope3 (M1 M2 M3) M1 1, M2 2, M3 3);
messages!(Envelope4 (M1 M2 M3 M4) M1 1, M2 2, M3 3, M4 4);
messages!(Envelope5 (M1 M2 M3 M4 M5) M1 1, M2 2, M3 3, M4 4, M5 5);
messages!(Envelope6 (M1 M2 M3 M4 M5 M6) M1 1, M2 2, M3 3, M4 4, M5 5, M6 6);
messages!(Envelope7 (M1 M2 M3 M4 M5 M6 M7) M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7);
messages!(Envelope8 (M1 M2 M3 M4 M5 M6 M7 M8) M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7, M8 8);
messages!(Envelope9 (M1 M2 M3 M4 M5 M6 M7 M8 M9)
    M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7, M8 8, M9 9);
messages!(Envelope10 (M1 M2 M3 M4 M5 M6 M7 M8 M9 M10)
    M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7, M8 8, M9 9, M10 10);
messages!(Envelope11 (M1 M2 M3 M4 M5 M6 M7 M8 M9 M10 M11)
    M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7, M8 8, M9 9, M10 10, M11 11);
messages!(Envelope12 (M1 M2 M3 M4 M5 M6 M7 M8 M9 M10 M11 M12)
    M1 1, M2 2, M3 3, M4 4, M5 5, M6 6, M7 7, M8 8, M9 9, M10 10, M11 11, M12 12);
