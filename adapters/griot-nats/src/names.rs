//! Names of streams and consumers, made from topics and groups; and which subject takes in which.

use xxhash_rust::xxh3::xxh3_64;

/// Characters of a name that are kept before it is told apart by a fingerprint.
const KEPT_MAX: usize = 48;

/// The stream that topics beginning with the same word share: they can be subscribed to with one
/// pattern later, which topics in streams of their own could not. None where that word is a pattern.
pub(crate) fn stream_of(topic: &str) -> Option<String> {
    let word = topic.split('.').next()?;
    let named = !matches!(word, "" | "*" | ">");
    named.then(|| format!("griot_{}", safe(word)))
}

/// The durable consumer by which a group reads a topic.
pub(crate) fn consumer_of(group: &str, topic: &str) -> String {
    format!("{}_{:016x}", safe(group), xxh3_64(topic.as_bytes()))
}

/// Whether every subject that `narrow` stands for is one that `wide` stands for.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for word in wide.split('.') {
        match (word, narrow.next()) {
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (word, Some(other)) if word == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether a topic is a pattern, which can be subscribed to and not published to.
pub(crate) fn is_pattern(topic: &str) -> bool {
    topic.split('.').any(|word| matches!(word, "*" | ">"))
}

/// Why the server would not take this as a subject.
pub(crate) fn fault(topic: &str) -> Option<&'static str> {
    let refused = |character: char| character.is_whitespace() || character.is_control();
    if topic.contains(refused) {
        return Some("it has spaces or control characters: name it without");
    }
    let empty = topic.split('.').any(str::is_empty);
    empty.then_some("there must be a word before, between and after its dots")
}

/// The text where JetStream takes it as a name; else what it takes of it and a fingerprint.
fn safe(text: &str) -> String {
    let fits = |character: &char| character.is_ascii_alphanumeric() || "-_".contains(*character);
    let kept: String = text.chars().filter(fits).take(KEPT_MAX).collect();
    if kept == text && !text.is_empty() {
        return kept;
    }
    format!("{kept}_{:016x}", xxh3_64(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_begin_with_the_same_word_share_a_stream() {
        assert_eq!(stream_of("orders.placed").as_deref(), Some("griot_orders"));
        assert_eq!(stream_of("orders.*").as_deref(), Some("griot_orders"));
        assert_eq!(stream_of("*.placed"), None);
        assert_eq!(stream_of(">"), None);
    }

    #[test]
    fn a_name_that_jetstream_refuses_is_told_apart_by_a_fingerprint() {
        let one = consumer_of("mail & more", "orders");
        assert!(one.starts_with("mailmore_"), "{one}");
        assert_ne!(one, consumer_of("mail+more", "orders"));
        assert_ne!(one, consumer_of("mail & more", "rides"));
        assert!(one.len() < 100, "{one}");
    }

    #[test]
    fn a_pattern_covers_what_it_stands_for() {
        assert!(covers("orders.*", "orders.placed"));
        assert!(covers("orders.>", "orders.*"));
        assert!(covers("orders.>", "orders.a.b"));
        assert!(covers(">", "orders"));
        assert!(covers("orders", "orders"));
        assert!(!covers("orders.*", "orders"));
        assert!(!covers("orders.>", "orders"));
        assert!(!covers("orders.*", "orders.a.b"));
        assert!(!covers("orders.*", "orders.>"));
        assert!(!covers("orders.placed", "orders.*"));
        assert!(!covers("orders.a.b", "orders.a"));
    }

    #[test]
    fn a_topic_that_is_no_subject_is_told_why() {
        assert_eq!(fault("orders.placed"), None);
        assert!(fault("orders placed").is_some());
        assert!(fault("orders..placed").is_some());
        assert!(fault("").is_some());
    }
}
