//! Text that PostgreSQL takes: all of it but the character 0, which is written `\0`, and so `\` is `\\`.

use std::borrow::Cow;

/// The text as it is stored.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', '\\']) {
        Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text as it was given.
pub(crate) fn unescaped(stored: String) -> String {
    if !stored.contains('\\') {
        return stored;
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(
                characters
                    .next()
                    .map(|next| if next == '0' { '\0' } else { next }),
            ),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_is_stored_without_the_character_zero() {
        for text in ["", "plain", "\0", "\\", "\\0", "a\0\\\0b", "\\\\0\0", "ü\\"] {
            let stored = escaped(text);
            assert!(!stored.contains('\0'), "{text:?}");
            assert_eq!(unescaped(stored.into_owned()), text);
        }
        assert_eq!(escaped("a\0b\\c"), r"a\0b\\c");
    }
}
