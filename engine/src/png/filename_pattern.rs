//! Names for pictures that are saved without asking for one, from a pattern of text and tokens. Whatever a prompt or a
//! model's name contains, the file stays in the folder it was meant for. Add a token to [`TOKENS`] and [`Token`].

use std::path::PathBuf;

use jiff::Zoned;

use crate::protocol::Settings;

/// The default pattern.
pub const DEFAULT_PATTERN: &str = "{date}/{time}_{seed}_{prompt}";

/// Every token, and what replaces it.
pub const TOKENS: [(&str, &str); 9] = [
    ("date", "the day: 2026-03-01"),
    ("time", "the time: 14-05-59"),
    ("seed", "the seed"),
    ("prompt", "the prompt's first words"),
    ("model", "the model's name"),
    ("steps", "the number of steps"),
    ("guidance", "the guidance scale"),
    ("size", "width and height: 512x512"),
    ("n", "the first free number: 001, 002 …"),
];

/// Most bytes of a prompt or a model's name in a file's name: enough to recognize it, and far below what file systems allow.
const WORDS: usize = 60;

/// Most bytes of one name, without its extension and the number that makes it unique. File systems allow 255.
const LONGEST: usize = 200;

/// Most nested folders.
const DEEPEST: usize = 8;

/// Stands for `{n}` until the number is known. It is in no pattern and in no token's value.
const NUMBER: char = '\0';

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Folders, then the file's name.
    parts: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Token(Token),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Date,
    Time,
    Seed,
    Prompt,
    Model,
    Steps,
    Guidance,
    Size,
    Number,
}

/// The name of one picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Folders, relative.
    pub folder: PathBuf,
    stem: String,
}

impl Name {
    /// The whole path with `/` between its parts, whatever this system uses.
    fn shown(&self) -> String {
        let folders = self.folder.iter().map(|part| part.to_string_lossy().into_owned());
        folders.chain([self.file(1)]).collect::<Vec<_>>().join("/")
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::parse(DEFAULT_PATTERN).expect("the default pattern is one")
    }
}

impl Pattern {
    /// Parses a pattern. `.png` at the end may be left out. The error is one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_suffix(".png").unwrap_or(text);
        let parts: Vec<_> = text.split('/').map(parse_part).collect::<Result<_, _>>()?;
        let count = |parts: &[Vec<Piece>]| {
            parts.iter().flatten().filter(|piece| **piece == Piece::Token(Token::Number)).count()
        };
        let (name, folders) = parts.split_last().expect("splitting gives at least one part");
        if count(folders) > 0 || count(std::slice::from_ref(name)) > 1 {
            return Err("{n} can appear once, in the file's name after the last '/'.".to_owned());
        }
        if folders.len() > DEEPEST {
            return Err(format!("At most {DEEPEST} folders can be nested: remove some '/'."));
        }
        Ok(Self { parts })
    }

    /// The name that a picture with these settings would get now, if it is free.
    pub fn example(&self, settings: &Settings, model: &str) -> String {
        self.name(settings, model, &Zoned::now()).shown()
    }

    pub(super) fn name(&self, settings: &Settings, model: &str, now: &Zoned) -> Name {
        let mut parts: Vec<_> = self.parts.iter().map(|part| fill(part, settings, model, now)).collect();
        let stem = parts.pop().filter(|stem| !stem.is_empty()).unwrap_or_else(|| "picture".to_owned());
        Name { folder: parts.into_iter().filter(|part| !part.is_empty()).collect(), stem }
    }
}

impl Name {
    /// Whether the name contains `{n}`.
    pub fn is_numbered(&self) -> bool {
        self.stem.contains(NUMBER)
    }

    /// The file's name with this number in place of `{n}`. Without `{n}`, the name ends with `-2`, `-3` … from 2 on.
    pub fn file(&self, number: u32) -> String {
        if self.is_numbered() {
            return format!("{}.png", self.stem.replace(NUMBER, &format!("{number:03}")));
        }
        if number == 1 { format!("{}.png", self.stem) } else { format!("{}-{number}.png", self.stem) }
    }
}

fn parse_part(part: &str) -> Result<Vec<Piece>, String> {
    if part.trim().is_empty() {
        return Err("A '/' separates folders: it needs a name before it and after it.".to_owned());
    }
    if part.chars().all(|c| c == '.' || c == ' ') {
        return Err(format!("'{part}' would leave the output folder or stay in place: name a folder inside it."));
    }
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}']) {
        push_text(&mut pieces, &rest[..at])?;
        if rest[at..].starts_with('}') {
            return Err("A '}' has no '{' before it.".to_owned());
        }
        let inside = &rest[at + 1..];
        let end = inside.find('}').ok_or("A '{' has no '}' after it.")?;
        pieces.push(Piece::Token(Token::named(&inside[..end])?));
        rest = &inside[end + 1..];
    }
    push_text(&mut pieces, rest)?;
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if let Some(c) = text.chars().find(|c| c.is_control() || r#"\:*?"<>|"#.contains(*c)) {
        let c = c.escape_default();
        return Err(format!("Not every system allows '{c}' in a file's name: leave it out."));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

impl Token {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "date" => Self::Date,
            "time" => Self::Time,
            "seed" => Self::Seed,
            "prompt" => Self::Prompt,
            "model" => Self::Model,
            "steps" => Self::Steps,
            "guidance" => Self::Guidance,
            "size" => Self::Size,
            "n" => Self::Number,
            _ => {
                let known: Vec<_> = TOKENS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                return Err(format!("There is no {{{name}}}: use one of {}.", known.join(" ")));
            }
        })
    }

    fn value(self, settings: &Settings, model: &str, now: &Zoned) -> String {
        match self {
            Self::Date => now.strftime("%Y-%m-%d").to_string(),
            Self::Time => now.strftime("%H-%M-%S").to_string(),
            Self::Seed => settings.seed.to_string(),
            Self::Prompt => words(&settings.prompt),
            Self::Model => words(model),
            Self::Steps => settings.steps.to_string(),
            Self::Guidance => settings.guidance.to_string(),
            Self::Size => settings.size.map_or_else(String::new, |(width, height)| format!("{width}x{height}")),
            Self::Number => NUMBER.to_string(),
        }
    }
}

/// The name of a folder or file in a form that every system accepts; empty if nothing is left of it.
fn fill(part: &[Piece], settings: &Settings, model: &str, now: &Zoned) -> String {
    const PARTING: [char; 4] = ['_', '-', ' ', '.'];
    let mut name = String::new();
    for piece in part {
        match piece {
            Piece::Text(text) => name.push_str(text),
            Piece::Token(token) => match token.value(settings, model, now) {
                // An empty value takes the separator before it along.
                value if value.is_empty() => name.truncate(name.trim_end_matches(PARTING).len()),
                value => name.push_str(&value),
            },
        }
    }
    let mut end = name.len().min(LONGEST);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    // Windows drops dots and spaces at the end, and device names are reserved in every folder.
    let name = name.trim_start_matches(' ').trim_end_matches(['.', ' ']);
    let device = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_number = |n: &str| matches!(n.as_bytes(), [b'0'..=b'9']) || ["¹", "²", "³"].contains(&n);
    let numbered = |prefix| device.strip_prefix(prefix).is_some_and(is_number);
    let is_device = ["CON", "PRN", "AUX", "NUL"].contains(&device.as_str()) || numbered("COM") || numbered("LPT");
    if is_device { format!("_{name}") } else { name.to_owned() }
}

/// The letters and digits at the beginning of a text, with everything else as single underscores.
fn words(text: &str) -> String {
    let mut words = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() {
            if words.len() + c.len_utf8() > WORDS {
                break;
            }
            words.push(c);
        } else if !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
    }
    words.truncate(words.trim_end_matches('_').len());
    words
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use super::*;

    fn now() -> Zoned {
        let time = jiff::civil::date(2026, 3, 1).at(14, 5, 59, 0);
        time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time that exists")
    }

    fn filled(pattern: &str, prompt: &str, model: &str) -> String {
        let settings = Settings { seed: 7, ..Settings::student(prompt) };
        let name = Pattern::parse(pattern).expect(pattern).name(&settings, model, &now());
        name.shown()
    }

    #[test]
    fn patterns_are_filled() {
        for (pattern, prompt, expected) in [
            (DEFAULT_PATTERN, "a cat", "2026-03-01/14-05-59_7_a_cat.png"),
            (DEFAULT_PATTERN, "", "2026-03-01/14-05-59_7.png"),
            ("{prompt}", "", "picture.png"),
            ("{prompt}/{seed}.png", "", "7.png"),
            ("{model}/{prompt} - {n}", "a cat", "My_model_1/a_cat - 001.png"),
            ("{model}/{prompt} - {n}", "", "My_model_1/- 001.png"),
            ("s{steps} g{guidance} {size}", "x", "s1 g1.png"),
            ("nul/{seed}", "x", "_nul/7.png"),
            ("{prompt}", "con", "_con.png"),
        ] {
            assert_eq!(filled(pattern, prompt, "My model/1"), expected, "{pattern} with {prompt:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_with_a_sentence() {
        for (pattern, words) in [
            ("", "'/'"),
            ("/etc/x", "'/'"),
            ("a//b", "'/'"),
            ("a/", "'/'"),
            ("../x", "'..'"),
            ("a/./b", "'.'"),
            (". ./x", "'. .'"),
            ("a\\b", "'\\\\'"),
            ("c:x", "':'"),
            ("a\0b", "'\\u{0}'"),
            ("a\nb", "'\\n'"),
            ("{", "no '}'"),
            ("x}", "no '{'"),
            ("{date", "no '}'"),
            ("{year}", "There is no {year}"),
            ("{}", "There is no {}"),
            ("{n}/x", "once"),
            ("{n}{n}", "once"),
            ("a/b/c/d/e/f/g/h/i/j", "8 folders"),
        ] {
            let sentence = Pattern::parse(pattern).expect_err(pattern);
            assert!(sentence.contains(words) && sentence.ends_with('.'), "{pattern:?}: {sentence}");
        }
    }

    #[test]
    fn whatever_the_values_are_the_file_stays_inside() {
        let hostile = [
            "../../etc/passwd",
            "/",
            "..",
            "C:\\x",
            "a\0b\n\u{1b}[31m",
            "\u{202e}gnp",
            "CON",
            " . ",
            "{n}{date}",
            &"山".repeat(500),
            &"x".repeat(500),
            "",
        ];
        let patterns = [
            DEFAULT_PATTERN,
            "{prompt}/{model}/{prompt}",
            "{prompt}{prompt}{prompt}{prompt}{n}",
            "..{prompt}",
            "{model}.{n}",
        ];
        for pattern in patterns {
            for prompt in hostile {
                for model in hostile {
                    let filled = filled(pattern, prompt, model);
                    let path = Path::new(&filled);
                    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
                    assert!(inside && !filled.contains(['\\', '\0', '\n', ':']), "{pattern} with {prompt:?}: {filled}");
                    assert!(path.components().all(|part| part.as_os_str().len() < 220), "{filled}");
                    assert!(path.extension().is_some_and(|ending| ending == "png"), "{filled}");
                }
            }
        }
    }

    #[test]
    fn names_keep_words_and_nothing_else() {
        for (prompt, expected) in [
            ("a cat", "a_cat"),
            ("  ../../etc/passwd\0", "etc_passwd"),
            ("😀 \"quoted\"\r\nline: *?<>|", "quoted_line"),
            ("日本の山", "日本の山"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(words(prompt), expected, "{prompt:?}");
        }
        for long in ["x".repeat(10_000), "山".repeat(10_000), "a ".repeat(10_000)] {
            let words = words(&long);
            assert!((50..=WORDS).contains(&words.len()), "{} bytes", words.len());
        }
    }

    #[test]
    fn every_token_that_is_offered_is_known() {
        for (name, _) in TOKENS {
            assert!(Pattern::parse(&format!("{{{name}}}")).is_ok(), "{name}");
        }
    }
}
