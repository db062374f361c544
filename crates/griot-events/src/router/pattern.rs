//! Topics with wildcards, and which of them is more exact.

use std::fmt;

use crate::layer::DEAD;

/// A topic, or a pattern of topics, word by word. The smaller of two that fit is the more exact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pattern(Vec<Word>);

/// The variants stand in the order of their exactness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Word {
    Literal(Box<str>),
    /// `*`: one word.
    One,
    /// `>`: one word or more, at the end.
    Rest,
    /// Any number of words, none too, at the end. It is never written.
    Everywhere,
}

impl Pattern {
    /// # Panics
    ///
    /// If the text is no topic.
    pub(super) fn parse(text: &str) -> Self {
        let words: Vec<Word> = text
            .split('.')
            .map(|word| Word::parse(word, text))
            .collect();
        let rest = words.iter().position(|word| *word == Word::Rest);
        assert!(
            rest.is_none_or(|at| at + 1 == words.len()),
            "the topic `{text}` goes on behind a `>`: it stands for all that follows"
        );
        Self(words)
    }

    /// Every topic there is.
    pub(super) fn everywhere() -> Self {
        Self(vec![Word::Everywhere])
    }

    /// `other` behind this prefix.
    ///
    /// # Panics
    ///
    /// If this ends with a `>`.
    pub(super) fn join(&self, other: &Self) -> Self {
        assert!(
            !self.0.contains(&Word::Rest),
            "the prefix `{self}` ends with a `>`: nothing can be nested in it"
        );
        Self([self.0.as_slice(), &other.0].concat())
    }

    /// Whether it can be subscribed to: an event's name alone says nothing about topics.
    pub(super) fn names_a_topic(&self) -> bool {
        !self.0.contains(&Word::Everywhere)
    }

    /// The topic it is, where it has no wildcard.
    pub(super) fn exact(&self) -> Option<String> {
        let literal = |word: &Word| matches!(word, Word::Literal(_));
        self.0.iter().all(literal).then(|| self.to_string())
    }

    /// Whether it gets the events of `topic`: a wildcard gets no dead letters.
    pub(super) fn fits(&self, topic: &str) -> bool {
        let wild = matches!(self.0.last(), Some(Word::One | Word::Rest));
        self.covers(topic) && !(wild && is_dead(topic))
    }

    /// Whether `topic` is one of those it stands for, and a subscription to it brings in.
    pub(super) fn covers(&self, topic: &str) -> bool {
        let mut words = topic.split('.');
        for word in &self.0 {
            let fits = match word {
                Word::Everywhere => return true,
                Word::Rest => return words.next().is_some(),
                Word::One => words.next().is_some(),
                Word::Literal(literal) => words.next() == Some(literal),
            };
            if !fits {
                return false;
            }
        }
        words.next().is_none()
    }
}

/// Whether it is a topic of dead letters.
pub(crate) fn is_dead(topic: &str) -> bool {
    topic.rsplit('.').next() == Some(DEAD)
}

impl Word {
    fn parse(word: &str, topic: &str) -> Self {
        match word {
            "*" => Self::One,
            ">" => Self::Rest,
            "" => panic!("the topic `{topic}` has an empty word: put one between its dots"),
            word => {
                assert!(
                    !word.contains(['*', '>']),
                    "in the topic `{topic}` a wildcard stands within a word: it must be one by itself"
                );
                Self::Literal(word.into())
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str(".")?;
            }
            formatter.write_str(match word {
                Word::Literal(literal) => literal,
                Word::One => "*",
                Word::Rest | Word::Everywhere => ">",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_word_by_word() {
        let fits = |pattern, topic| Pattern::parse(pattern).fits(topic);
        assert!(fits("orders", "orders"));
        assert!(!fits("orders", "orders.eu"));
        assert!(fits("orders.*", "orders.eu"));
        assert!(!fits("orders.*", "orders"));
        assert!(!fits("orders.*", "orders.eu.north"));
        assert!(fits("*.eu", "orders.eu"));
        assert!(fits("orders.>", "orders.eu.north"));
        assert!(!fits("orders.>", "orders"));
        assert!(fits("orders.*.>", "orders.eu.north.1"));
        let nested = Pattern::parse("orders").join(&Pattern::everywhere());
        assert!(nested.fits("orders") && nested.fits("orders.eu.north"));
        assert!(!nested.fits("ordersandmore"));
    }

    #[test]
    fn no_wildcard_stands_for_the_word_of_dead_letters() {
        for (pattern, topic) in [
            ("orders.*", "orders.dead"),
            ("orders.>", "orders.eu.dead"),
            (">", "orders.dead"),
        ] {
            assert!(!Pattern::parse(pattern).fits(topic), "{pattern}");
        }
        assert!(Pattern::parse("orders.*.dead").fits("orders.eu.dead"));
        assert!(Pattern::parse("*.dead.eu").fits("orders.dead.eu"));
        assert!(Pattern::parse("orders.>").covers("orders.dead"));
        // An event's name alone brings nothing in: who subscribed to the topic wants it.
        assert!(Pattern::everywhere().fits("orders.dead"));
    }

    #[test]
    fn the_more_exact_is_the_smaller() {
        let sorted = [
            "orders.eu.*",
            "orders.eu.>",
            "orders.*.north",
            "orders.*.*",
            "orders.>",
            "*.eu",
            ">",
        ];
        let mut patterns: Vec<_> = sorted
            .iter()
            .rev()
            .map(|text| Pattern::parse(text))
            .collect();
        patterns.sort();
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(patterns, sorted);
    }
}
