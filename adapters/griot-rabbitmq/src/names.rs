//! Names of logs and queues, made from topics and groups; and which topics a pattern stands for.

use xxhash_rust::xxh3::xxh3_64;

/// The longest topic: it is a routing key, and its first word names a log, in at most 255 bytes.
const TOPIC_BYTES_MAX: usize = 200;

/// How much of a group's and a topic's name is kept in the name of a queue.
const KEPT_CHARACTERS_MAX: usize = 23;

/// The log of all topics that begin with a word: they can be subscribed to with one pattern later.
pub(crate) fn log_of(exchange: &str, word: &str) -> String {
    format!("{exchange}.log.{word}")
}

/// What the names of all in which a group keeps its place in a log begin with.
pub(crate) fn place_of(exchange: &str, group: &str, word: &str, topic: &str) -> String {
    let all = format!("{group}\0{word}\0{topic}");
    let fingerprint = xxh3_64(all.as_bytes());
    let (group, topic) = (kept(group), kept(topic));
    format!("{exchange}.group.{group}.{topic}.{fingerprint:016x}")
}

fn kept(text: &str) -> String {
    text.chars().take(KEPT_CHARACTERS_MAX).collect()
}

/// The first word of a topic; none where that is a pattern.
pub(crate) fn first_word(topic: &str) -> Option<&str> {
    let word = topic.split('.').next()?;
    (!matches!(word, "*" | ">")).then_some(word)
}

/// Whether a topic is one that a pattern stands for.
pub(crate) fn covers(pattern: &str, topic: &str) -> bool {
    let mut words = topic.split('.');
    for word in pattern.split('.') {
        match (word, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (word, Some(other)) if word == other => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

/// Whether a topic is a pattern, which can be subscribed to and not published to.
pub(crate) fn is_pattern(topic: &str) -> bool {
    topic.split('.').any(|word| matches!(word, "*" | ">"))
}

/// Why this cannot be a topic.
pub(crate) fn fault(topic: &str) -> Option<&'static str> {
    let refused = |character: char| character.is_whitespace() || character.is_control();
    if topic.contains(refused) {
        return Some("it has spaces or control characters: name it without");
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Some("it is longer than 200 bytes: name it shorter");
    }
    let mut words = topic.split('.');
    if words.clone().any(|word| word == "#") {
        return Some("a # is a pattern of RabbitMQ: use * and >");
    }
    let empty = words.any(str::is_empty);
    empty.then_some("there must be a word before, between and after its dots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_topics_word_by_word() {
        assert!(covers("orders", "orders"));
        assert!(!covers("orders", "orders.eu"));
        assert!(covers("orders.*", "orders.eu"));
        assert!(!covers("orders.*", "orders"));
        assert!(!covers("orders.*", "orders.eu.north"));
        assert!(covers("orders.>", "orders.eu.north"));
        assert!(!covers("orders.>", "orders"));
        assert!(covers("*.eu", "orders.eu"));
        assert!(covers(">", "orders"));
        assert!(covers("orders.>", "orders.dead"));
    }

    #[test]
    fn names_fit_and_are_told_apart() {
        let long = "ü".repeat(90);
        let one = place_of("griot", &long, "orders", &format!("orders.{long}"));
        let two = place_of("griot", &long, "orders", &format!("orders.{long}x"));
        assert!(one != two && one.len() <= 255, "{one}");
        let names = [("a", "b.c"), ("a.b", "c"), ("a", "b.c\0"), ("a\0b", "c")];
        let names = names.map(|(group, topic)| place_of("griot", group, "w", topic));
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(log_of(&"e".repeat(32), &"w".repeat(200)).len() <= 255);
    }

    #[test]
    fn a_word_that_is_a_pattern_names_no_log() {
        assert_eq!(first_word("orders.placed"), Some("orders"));
        assert_eq!(first_word("*.placed"), None);
        assert_eq!(first_word(">"), None);
    }

    #[test]
    fn a_topic_that_cannot_be_one_is_told_why() {
        assert_eq!(fault("orders.placed"), None);
        for (topic, said) in [
            ("orders placed", "spaces"),
            ("orders..placed", "dots"),
            ("", "dots"),
            ("orders.#", "pattern"),
        ] {
            assert!(fault(topic).is_some_and(|fault| fault.contains(said)));
        }
        assert!(fault(&"x".repeat(201)).is_some());
    }
}
