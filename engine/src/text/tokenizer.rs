//! CLIP's byte-level BPE: the same ids as Transformers' fast tokenizer, padded and truncated to the text encoder's length.
//!
//! From `vocab.json` and `merges.txt` the tokenizer is built as Transformers' `CLIPConverter` builds it: NFC, white space
//! to single spaces, lower case, CLIP's word pattern, bytes to characters, and merges with `</w>` at the end of words. The
//! slow tokenizer of Transformers 4 also called `ftfy` if it was installed; HTML, typographic quotation marks and ligatures
//! are left unchanged here. A literal `<|endoftext|>` in a prompt is the special token. A folder's `tokenizer.json` is
//! used unchanged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::chunks::{Chunk, Token};
use super::embeddings::Embeddings;
use super::known_words::whole_words;
use super::prompt_tokens::{PromptReader, PromptTokens};
use crate::protocol::PromptSyntax;
use crate::{Error, Result};

/// The length of CLIP's text encoders, used if neither the text encoder nor the tokenizer names a limit.
const CLIP_LIMIT: usize = 77;

/// Most tokens per prompt that a folder may ask for.
const MOST_TOKENS: usize = 1 << 16;

/// How many merges Transformers reads from a `merges.txt`: CLIP's 49,152 symbols without the bytes (inside and at the end
/// of a word) and the special tokens.
pub(crate) const MOST_MERGES: usize = 49_152 - 256 - 2;

const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The contents of a `tokenizer/` folder: `tokenizer.json`, or `vocab.json` and `merges.txt`, and any of the other files.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles {
    /// The folder, for messages.
    pub folder: PathBuf,
    /// `tokenizer.json`, which is preferred to `vocab.json` and `merges.txt`.
    pub tokenizer_json: Option<Vec<u8>>,
    /// `vocab.json`: token to id.
    pub vocab: Option<Vec<u8>>,
    /// `merges.txt`: one pair a line, most frequent first.
    pub merges: Option<Vec<u8>>,
    /// `tokenizer_config.json`: special tokens and `model_max_length`.
    pub config: Option<Vec<u8>>,
    /// `special_tokens_map.json`: special tokens, for older folders.
    pub special_tokens: Option<Vec<u8>>,
    /// `added_tokens.json`: ids beyond the vocabulary's, as textual inversion adds them, for older folders.
    pub added_tokens: Option<Vec<u8>>,
}

/// Turns prompts into token ids.
#[derive(Debug)]
pub struct Tokenizer {
    bpe: tokenizers::Tokenizer,
    start: u32,
    end: u32,
    pad: u32,
    limit: usize,
    /// The id of a comma, if one token stands for it.
    comma: Option<u32>,
    /// The known words, if the vocabulary is a list of whole words.
    words: Option<BTreeSet<String>>,
}

impl Tokenizer {
    /// Builds the tokenizer of one folder. The limit is `positions` (the text encoder's `max_position_embeddings`) or the
    /// tokenizer's `model_max_length`, whichever is less.
    pub fn new(files: &TokenizerFiles, positions: Option<usize>) -> Result<Self> {
        let special = Special::read(files)?;
        let ((bpe, start, end, pad), words) = match &files.tokenizer_json {
            Some(json) => (ready_made(files, json, &special)?, None),
            None => from_vocabulary(files, &special)?,
        };
        let limit = match (positions, special.longest) {
            (Some(positions), Some(longest)) => positions.min(longest),
            (positions, longest) => positions.or(longest).unwrap_or(CLIP_LIMIT),
        };
        if limit < 2 {
            let message = format!("takes {limit} tokens, which leaves no room for the start and end marks");
            return Err(files.fault("tokenizer_config.json", message));
        }
        if limit > MOST_TOKENS {
            let message =
                format!("would fill {limit} tokens for its text encoder, but at most {MOST_TOKENS} are possible");
            return Err(files.fault("", message));
        }
        let encoded = bpe.encode(",", false).unwrap_or_default();
        let comma = if let &[comma] = encoded.get_ids() { Some(comma) } else { None };
        Ok(Self { bpe, start, end, pad, limit, comma, words })
    }

    /// The ids of a prompt in one chunk: start mark, prompt, end mark and padding, [`Self::limit`] ids in all.
    pub fn encode(&self, prompt: &str) -> Vec<u32> {
        let encoding = self.tokens(prompt);
        let kept = encoding.get_ids().iter().copied().take(self.limit - 2);
        let mut ids = Vec::with_capacity(self.limit);
        ids.push(self.start);
        ids.extend(kept);
        ids.push(self.end);
        ids.resize(self.limit, self.pad);
        ids
    }

    /// What the text encoder gets for these tokens, which are [`Self::limit`] less the two marks at most.
    pub(super) fn chunk(&self, tokens: &[Token]) -> Chunk {
        let mut ids = Vec::with_capacity(self.limit);
        let mut weights = vec![1.0; self.limit];
        ids.push(self.start);
        for (token, weight) in tokens.iter().zip(&mut weights[1..]) {
            ids.push(token.id);
            *weight = token.weight;
        }
        ids.push(self.end);
        ids.resize(self.limit, self.pad);
        Chunk { ids, weights }
    }

    /// The chunk of an empty prompt.
    pub fn empty_chunk(&self) -> Chunk {
        self.chunk(&[])
    }

    /// Reads a prompt by the rules of a syntax, with no other words than the vocabulary's.
    pub fn read(&self, prompt: &str, syntax: PromptSyntax) -> PromptTokens {
        PromptReader { tokenizer: self, words: None, embeddings: &Embeddings::default() }.read(prompt, syntax)
    }

    /// The words of the vocabulary, if it is small and consists of whole words.
    pub fn words(&self) -> Option<&BTreeSet<String>> {
        self.words.as_ref()
    }

    /// How many ids [`Self::encode`] gives: 77 for CLIP.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// One more than the largest id: the least size of the text encoder's embedding.
    pub fn vocabulary_size(&self) -> usize {
        let largest = self.bpe.get_vocab(true).into_values().max().unwrap_or(0);
        largest as usize + 1
    }

    /// The id of a comma.
    pub(super) fn comma(&self) -> Option<u32> {
        self.comma
    }

    /// The prompt's own tokens without marks, and their byte offsets in the prompt.
    pub(super) fn tokens(&self, prompt: &str) -> tokenizers::Encoding {
        // This fails only if the BPE has no token for an unknown byte. Such a prompt counts as empty.
        self.bpe.encode(prompt, false).unwrap_or_default()
    }
}

impl TokenizerFiles {
    fn fault(&self, file: &str, message: impl Into<String>) -> Error {
        let path = if file.is_empty() { self.folder.clone() } else { self.folder.join(file) };
        Error::Checkpoint { path, message: message.into() }
    }
}

/// A tokenizer and its start, end and padding ids.
type Parts = (tokenizers::Tokenizer, u32, u32, u32);

/// Uses `tokenizer.json` unchanged, except for its padding and truncation.
fn ready_made(files: &TokenizerFiles, json: &[u8], special: &Special) -> Result<Parts> {
    let fault = |message: String| files.fault("tokenizer.json", message);
    let mut bpe = tokenizers::Tokenizer::from_bytes(json)
        .map_err(|error| fault(format!("is not a readable tokenizer ({error})")))?;
    let own_pad = bpe.get_padding().map(|padding| padding.pad_id);
    bpe.with_padding(None);
    bpe.with_truncation(None).map_err(|error| fault(format!("has a truncation that cannot be undone ({error})")))?;
    let marks = bpe.encode("", true).map_err(|error| fault(format!("cannot encode an empty prompt ({error})")))?;
    let &[start, end] = marks.get_ids() else {
        return Err(fault("must add one start and one end mark to a prompt, as CLIP's tokenizer does".into()));
    };
    let pad = special.pad.as_ref().and_then(|pad| bpe.token_to_id(&pad.content)).or(own_pad).unwrap_or(end);
    Ok((bpe, start, end, pad))
}

/// Builds the tokenizer from `vocab.json` and `merges.txt`.
fn from_vocabulary(files: &TokenizerFiles, special: &Special) -> Result<(Parts, Option<BTreeSet<String>>)> {
    let missing = || files.fault("", "needs vocab.json and merges.txt, or tokenizer.json, but they are missing");
    let vocab = files.vocab.as_deref().ok_or_else(missing)?;
    let merges = files.merges.as_deref().ok_or_else(missing)?;

    let vocab: HashMap<String, u32> = serde_json::from_slice(vocab)
        .map_err(|error| files.fault("vocab.json", format!("is not a table from tokens to ids ({error})")))?;
    let start_mark = special.start.clone().unwrap_or_else(|| mark("<|startoftext|>"));
    let end_mark = special.end.clone().unwrap_or_else(|| mark("<|endoftext|>"));
    let pad_mark = special.pad.clone().unwrap_or_else(|| end_mark.clone());
    let id_of = |token: &AddedToken| {
        let id = vocab.get(&token.content).copied();
        id.ok_or_else(|| files.fault("vocab.json", format!("lacks the special token {}", token.content)))
    };
    let (start, end, pad) = (id_of(&start_mark)?, id_of(&end_mark)?, id_of(&pad_mark)?);

    let merges = parse_merges(merges).map_err(|message| files.fault("merges.txt", message))?;
    let words = whole_words(vocab.len(), &merges);
    let model = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
        .unk_token(end_mark.content.clone())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".into())
        .build()
        .map_err(|error| files.fault("merges.txt", format!("does not fit the vocab.json beside it ({error})")))?;

    let build = || -> tokenizers::Result<tokenizers::Tokenizer> {
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
        let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)?;
        let mut bpe = tokenizers::Tokenizer::new(model);
        bpe.with_normalizer(Some(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()])))?;
        bpe.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), ByteLevel::new(false, true, true).into()])));
        bpe.add_special_tokens([start_mark, end_mark, pad_mark])?;
        Ok(bpe)
    };
    let mut bpe = build().map_err(|error| files.fault("vocab.json", format!("gives no tokenizer ({error})")))?;
    for (id, token) in &special.added {
        if bpe.token_to_id(token) == Some(*id) {
            continue;
        }
        // Not normalized: the slow tokenizer looks for it before it changes the prompt.
        let added = bpe.add_tokens([AddedToken::from(token.as_str(), false).normalized(false)]);
        if added.is_err() || bpe.token_to_id(token) != Some(*id) {
            let message = format!("gives the added token {token} the id {id}, which is not the next one");
            return Err(files.fault("", message));
        }
    }
    Ok(((bpe, start, end, pad), words))
}

/// The pairs in `merges.txt`. A first line with `#version` in it is none: OpenAI's file has a name before that word.
fn parse_merges(text: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = str::from_utf8(text).map_err(|_| "is not UTF-8 text".to_owned())?;
    let mut merges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || (index == 0 && line.contains("#version")) {
            continue;
        }
        if merges.len() == MOST_MERGES {
            break;
        }
        let Some((left, right)) = line.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            return Err(format!("line {}: two symbols with a space between them are expected", index + 1));
        };
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// The special tokens and the limit in `tokenizer_config.json` and `special_tokens_map.json`.
#[derive(Default)]
struct Special {
    start: Option<AddedToken>,
    end: Option<AddedToken>,
    pad: Option<AddedToken>,
    /// Tokens added to the vocabulary's, by id.
    added: BTreeMap<u32, String>,
    longest: Option<usize>,
}

impl Special {
    fn read(files: &TokenizerFiles) -> Result<Self> {
        let parse = |name: &str, bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => serde_json::from_slice::<Value>(bytes)
                .map_err(|error| files.fault(name, format!("is not valid JSON ({error})"))),
            None => Ok(Value::Null),
        };
        let config = parse("tokenizer_config.json", &files.config)?;
        let map = parse("special_tokens_map.json", &files.special_tokens)?;
        let decoder = config["added_tokens_decoder"].as_object();
        // In older folders without this table, Transformers prefers the map to the config.
        let (first, second) = if decoder.is_some() { (&config, &map) } else { (&map, &config) };
        let token = |key: &str| special_token(&first[key]).or_else(|| special_token(&second[key]));
        let older = parse("added_tokens.json", &files.added_tokens)?;
        let added = if let Some(table) = decoder {
            table.iter().filter_map(|(id, token)| Some((id.parse().ok()?, content(token)?))).collect()
        } else {
            let table = older.as_object().into_iter().flatten();
            table.filter_map(|(token, id)| Some((u32::try_from(id.as_u64()?).ok()?, token.clone()))).collect()
        };
        // Transformers writes 1e30 if there is no limit.
        let longest =
            config["model_max_length"].as_f64().filter(|&length| (0.0..=MOST_TOKENS as f64).contains(&length));
        Ok(Self {
            start: token("bos_token"),
            end: token("eos_token"),
            pad: token("pad_token"),
            added,
            longest: longest.map(|length| length as usize),
        })
    }
}

/// A special token written as a string, or as an object with its flags.
fn special_token(value: &Value) -> Option<AddedToken> {
    let flag = |key: &str| value[key].as_bool();
    let token = mark(&content(value)?)
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false));
    Some(token.normalized(flag("normalized").unwrap_or(true)))
}

fn content(token: &Value) -> Option<String> {
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

/// CLIP's marks are matched after normalization, so they are found in capitals, too.
fn mark(content: &str) -> AddedToken {
    AddedToken::from(content, true).normalized(true)
}
