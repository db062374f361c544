//! Names of topics, and patterns of them as Kafka's client wants them.

/// The longest name that Kafka takes.
const LENGTH_MAX: usize = 249;

/// Whether a topic is a pattern, which can be subscribed to and not published to.
pub(crate) fn is_pattern(topic: &str) -> bool {
    topic.split('.').any(|word| matches!(word, "*" | ">"))
}

/// What to subscribe to for a topic or pattern: a name as it is, a pattern as a regular expression,
/// which the client knows by its `^`.
pub(crate) fn subscribed(topic: &str) -> String {
    if !is_pattern(topic) {
        return topic.to_owned();
    }
    let word = |word| match word {
        "*" => "[^.]+",
        ">" => ".+",
        word => word,
    };
    let words: Vec<&str> = topic.split('.').map(word).collect();
    format!("^{}$", words.join("\\."))
}

/// Why Kafka would not take this as a topic, or as a pattern of topics.
pub(crate) fn fault(topic: &str) -> Option<String> {
    let words: Vec<&str> = topic.split('.').collect();
    let is_wild = |word: &&str| matches!(*word, "*" | ">");
    let taken = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let spelled = |word: &&str| !word.is_empty() && word.chars().all(taken);
    if topic.len() > LENGTH_MAX {
        return Some(format!("a topic has {LENGTH_MAX} characters at most"));
    }
    let before_the_last = words.split_last().map_or(&[][..], |(_, before)| before);
    if before_the_last.contains(&">") {
        return Some("a `>` stands for all that follows: put it at the end".to_owned());
    }
    if !words.iter().all(|word| is_wild(word) || spelled(word)) {
        let text = format!(
            "{topic:?} is no name of a topic: use words of letters, digits, `-` and `_` with a dot between them"
        );
        return Some(text);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_expression_for_whole_names() {
        assert_eq!(subscribed("orders.placed"), "orders.placed");
        assert_eq!(subscribed("orders.*"), r"^orders\.[^.]+$");
        assert_eq!(subscribed("*.eu.>"), r"^[^.]+\.eu\..+$");
        assert_eq!(subscribed(">"), "^.+$");
    }

    #[test]
    fn a_name_that_kafka_refuses_is_told_why() {
        for topic in [
            "orders",
            "orders.placed-1_b",
            "orders.*",
            "*.eu",
            "a.>",
            ">",
        ] {
            assert_eq!(fault(topic), None, "{topic}");
        }
        let long = "a".repeat(250);
        for topic in ["", "a..b", "a b", "ä", "a*", "^a", "a.>.b", "a\0b", &long] {
            assert!(fault(topic).is_some(), "{topic}");
        }
    }
}
