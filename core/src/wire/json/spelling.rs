//! One document, written in as many ways as RFC 8259 allows.

use serde_json::Value as Json;

/// Writes a document with the white space and the escapes that `choices` ask for; they repeat when they run out.
pub(crate) fn write(document: &Json, choices: &[u8]) -> String {
    let mut writer = Writer { choices: choices.iter().cycle(), out: String::new() };
    writer.value(document);
    writer.out
}

struct Writer<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    out: String,
}

impl Writer<'_> {
    fn choose(&mut self, from: u8) -> u8 {
        self.choices.next().unwrap() % from
    }

    fn space(&mut self) {
        for _ in 0..self.choose(6).saturating_sub(3) {
            let space = [' ', '\t', '\n', '\r'][usize::from(self.choose(4))];
            self.out.push(space);
        }
    }

    fn value(&mut self, value: &Json) {
        self.space();
        match value {
            Json::String(text) => self.string(text),
            Json::Array(items) => self.list('[', items, ']', |writer, item| writer.value(item)),
            Json::Object(members) => self.list('{', members, '}', |writer, (name, value)| {
                writer.space();
                writer.string(name);
                writer.space();
                writer.out.push(':');
                writer.value(value);
            }),
            plain => self.out.push_str(&plain.to_string()),
        }
        self.space();
    }

    fn list<T>(&mut self, open: char, items: impl IntoIterator<Item = T>, close: char, one: impl Fn(&mut Self, T)) {
        self.out.push(open);
        self.space();
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            one(self, item);
        }
        self.out.push(close);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            self.character(character);
        }
        self.out.push('"');
    }

    fn character(&mut self, character: char) {
        let short = match character {
            '"' => Some('"'),
            '\\' => Some('\\'),
            '/' => Some('/'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            _ => None,
        };
        let may_stand = !matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        match (self.choose(4), short) {
            (0 | 1, _) if may_stand => self.out.push(character),
            (2, Some(letter)) => self.out.extend(['\\', letter]),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let escape = if self.choose(2) == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
                    self.out.push_str(&escape);
                }
            }
        }
    }
}
