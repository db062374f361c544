//! All routes of a router, and how the one for an event is found.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::Batch;
use super::pattern::Pattern;
use super::route::Route;
use crate::{BatchHandler, Handler};

/// What becomes a route once the state is there.
pub(super) struct Endpoint<S> {
    make: Arc<dyn Fn(S) -> Route + Send + Sync>,
    made: OnceLock<Route>,
    /// Where it handles batches: how those are gathered.
    pub(super) batch: Option<Batch>,
}

impl<S: Clone + Send + Sync + 'static> Endpoint<S> {
    pub(super) fn of_handler<H: Handler<T, S>, T: 'static>(handler: H) -> Self {
        Self::new(None, move |state| Route::of_handler(handler.clone(), state))
    }

    pub(super) fn of_batch_handler<H: BatchHandler<T, S>, T: 'static>(
        batch: Batch,
        handler: H,
    ) -> Self {
        let make = move |state| Route::of_batch_handler(handler.clone(), state);
        Self::new(Some(batch), make)
    }

    pub(super) fn map(&self, change: impl Fn(Route) -> Route + Send + Sync + 'static) -> Self {
        let make = Arc::clone(&self.make);
        Self::new(self.batch, move |state| change(make(state)))
    }

    pub(super) fn with_state<T: 'static>(&self, state: &S) -> Endpoint<T> {
        let route = (self.make)(state.clone());
        Endpoint::new(self.batch, move |_| route.clone())
    }
}

impl<S> Endpoint<S> {
    fn new(batch: Option<Batch>, make: impl Fn(S) -> Route + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            made: OnceLock::new(),
            batch,
        }
    }
}

impl Endpoint<()> {
    /// The route; made once, so that what its layers count is counted in one place.
    pub(super) fn route(&self) -> &Route {
        self.made.get_or_init(|| (self.make)(()))
    }
}

impl<S> Clone for Endpoint<S> {
    fn clone(&self) -> Self {
        Self {
            make: Arc::clone(&self.make),
            made: self.made.clone(),
            batch: self.batch,
        }
    }
}

/// All routes: those that ask for an event's name, and those that do not.
pub(super) struct Table<S> {
    named: HashMap<Box<str>, Topics<S>>,
    unnamed: Topics<S>,
}

/// Routes by topic.
struct Topics<S> {
    exact: HashMap<String, Entry<S>>,
    /// Those with a wildcard, the most exact first.
    patterns: Vec<Entry<S>>,
}

struct Entry<S> {
    pattern: Pattern,
    /// The pattern as text.
    text: Arc<str>,
    endpoint: Endpoint<S>,
}

impl<S> Table<S> {
    /// # Panics
    ///
    /// If there is such a route already.
    pub(super) fn insert(&mut self, pattern: Pattern, name: Option<&str>, endpoint: Endpoint<S>) {
        let topics = match name {
            Some(name) => self.named.entry(name.into()).or_default(),
            None => &mut self.unnamed,
        };
        let entry = Entry {
            text: pattern.to_string().into(),
            pattern,
            endpoint,
        };
        if let Err(Entry { text, .. }) = topics.insert(entry) {
            let name = name.map_or_else(String::new, |name| format!("the event `{name}` of "));
            panic!("{name}the topic `{text}` has a handler already: remove one of the two");
        }
    }

    /// The most exact route for an event.
    pub(super) fn find(
        &self,
        topic: &str,
        name: Option<&str>,
    ) -> Option<(&Arc<str>, &Endpoint<S>)> {
        let named = name.and_then(|name| self.named.get(name)?.find(topic));
        let entry = named.or_else(|| self.unnamed.find(topic))?;
        Some((&entry.text, &entry.endpoint))
    }

    /// Whether nobody asked for `topic`, and yet a subscription to a pattern brings it in.
    pub(super) fn strays_in(&self, topic: &str) -> bool {
        let subscribed = || {
            let patterns = self.entries().map(|(_, entry)| &entry.pattern);
            patterns.filter(|pattern| pattern.names_a_topic())
        };
        subscribed().any(|pattern| pattern.covers(topic))
            && !subscribed().any(|pattern| pattern.fits(topic))
    }

    /// The same routes with other endpoints.
    pub(super) fn map<T>(&self, change: impl Fn(&Endpoint<S>) -> Endpoint<T>) -> Table<T> {
        let mut table = Table::default();
        for (name, entry) in self.entries() {
            table.insert(entry.pattern.clone(), name, change(&entry.endpoint));
        }
        table
    }

    pub(super) fn into_routes(self) -> Vec<(Pattern, Option<Box<str>>, Endpoint<S>)> {
        let named = self.named.into_iter().map(|(name, all)| (Some(name), all));
        named
            .chain([(None, self.unnamed)])
            .flat_map(|(name, all)| {
                let entries = all.exact.into_values().chain(all.patterns);
                entries.map(move |entry| (entry.pattern, name.clone(), entry.endpoint))
            })
            .collect()
    }

    /// What can be subscribed to, in no order.
    pub(super) fn topics(&self) -> Vec<String> {
        self.entries()
            .filter(|(_, entry)| entry.pattern.names_a_topic())
            .map(|(_, entry)| entry.text.to_string())
            .collect()
    }

    fn entries(&self) -> impl Iterator<Item = (Option<&str>, &Entry<S>)> {
        let named = self.named.iter().map(|(name, all)| (Some(&**name), all));
        named
            .chain([(None, &self.unnamed)])
            .flat_map(|(name, all)| {
                let entries = all.exact.values().chain(&all.patterns);
                entries.map(move |entry| (name, entry))
            })
    }
}

impl<S> Topics<S> {
    /// Gives the entry back where there is one like it.
    fn insert(&mut self, entry: Entry<S>) -> Result<(), Entry<S>> {
        if let Some(topic) = entry.pattern.exact() {
            if self.exact.contains_key(&topic) {
                return Err(entry);
            }
            self.exact.insert(topic, entry);
            return Ok(());
        }
        let pattern = &entry.pattern;
        match self
            .patterns
            .binary_search_by(|other| other.pattern.cmp(pattern))
        {
            Ok(_) => return Err(entry),
            Err(place) => self.patterns.insert(place, entry),
        }
        Ok(())
    }

    fn find(&self, topic: &str) -> Option<&Entry<S>> {
        let mut patterns = self.patterns.iter();
        let exact = self.exact.get(topic);
        exact.or_else(|| patterns.find(|entry| entry.pattern.fits(topic)))
    }
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self {
            named: HashMap::new(),
            unnamed: Topics::default(),
        }
    }
}

impl<S> Clone for Table<S> {
    fn clone(&self) -> Self {
        self.map(Endpoint::clone)
    }
}

impl<S> Default for Topics<S> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            patterns: Vec::new(),
        }
    }
}
