//! Token ids against Transformers' fast CLIP tokenizer.

use instaflow_engine::protocol::{PromptSyntax, TokenCount};
use instaflow_engine::text::Tokenizer;
use instaflow_engine::text::tokenizer::TokenizerFiles;
use instaflow_test_support::fixture;

fn clip_files() -> TokenizerFiles {
    let folder = fixture("model/tokenizer");
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    TokenizerFiles {
        tokenizer_json: None,
        vocab: read("vocab.json"),
        merges: read("merges.txt"),
        config: read("tokenizer_config.json"),
        special_tokens: read("special_tokens_map.json"),
        added_tokens: None,
        folder,
    }
}

fn clip() -> Tokenizer {
    Tokenizer::new(&clip_files(), Some(77)).unwrap()
}

/// The tokens of a prompt of plain words.
fn counted(tokenizer: &Tokenizer, prompt: &str) -> TokenCount {
    tokenizer.read(prompt, PromptSyntax::Off).count
}

#[test]
fn the_reference_cases_exactly() {
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap();
    let tokenizer = clip();
    let mut checked = 0;
    for case in cases["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "tokens") {
        let prompt = case["prompt"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(prompt), ids, "{prompt:?}");
        checked += 1;
    }
    assert_eq!(checked, 6);
}

/// Ids without padding, as Transformers 4.57.1 `CLIPTokenizerFast` gives them for the same folder.
#[test]
fn odd_prompts_as_transformers_has_them() {
    let cases: [(&str, &[u32]); 12] = [
        ("<|endoftext|> a cat", &[49406, 49407, 320, 2368, 49407]),
        ("a <|EndOfText|>x<|startoftext|>", &[49406, 320, 49407, 343, 49406, 49407]),
        (
            "Tom &amp; Jerry's  \t\n dog!!! it'S we'Re 'll",
            &[49406, 2435, 261, 6259, 282, 9164, 568, 1929, 995, 585, 568, 649, 982, 1342, 49407],
        ),
        (
            "e\u{301}te\u{301} ÀÉ ﬁ İstanbul ß ẞ Σς",
            &[
                49406, 3459, 39694, 36149, 4166, 171, 105, 479, 328, 16384, 11231, 127, 509, 127, 509, 139, 225, 139,
                480, 49407,
            ],
        ),
        ("👩‍👩‍👧‍👦 🏳️‍🌈", &[49406, 26304, 26304, 48938, 4244, 964, 355, 32610, 49407]),
        ("x\u{a0}y\u{3000}z\u{85}w\u{200b}q", &[49406, 343, 344, 345, 342, 9844, 336, 49407]),
        ("١٢٣ ⅷ ½ 2²", &[49406, 149, 350, 149, 351, 149, 352, 158, 227, 371, 33613, 273, 41175, 49407]),
        (
            "~/foo_bar-baz...(:1.3)",
            &[49406, 93, 270, 23435, 318, 2411, 268, 25268, 3002, 8528, 272, 269, 274, 264, 49407],
        ),
        ("\0\u{1}\u{1f} a", &[49406, 188, 189, 475, 320, 49407]),
        ("''t '' 's' s's", &[49406, 8445, 339, 8445, 568, 262, 338, 568, 49407]),
        (
            "한국어 ไทย हिन्दी",
            &[
                49406, 15197, 250, 31871, 255, 31625, 368, 31718, 245, 33091, 29446, 26721, 26090, 19389, 29552, 25751,
                49407,
            ],
        ),
        (" ", &[49406, 49407]),
    ];
    let tokenizer = clip();
    for (prompt, ids) in cases {
        let mut padded = ids.to_vec();
        padded.resize(77, 49407);
        assert_eq!(tokenizer.encode(prompt), padded, "{prompt:?}");
        assert_eq!(counted(&tokenizer, prompt).used, ids.len() - 2, "{prompt:?}");
    }
}

#[test]
fn what_falls_off_begins_with_the_first_unseen_token() {
    let tokenizer = clip();

    let fits = counted(&tokenizer, "a shiba inu");
    assert_eq!((fits.limit, fits.cut_at), (75, "a shiba inu".len()));

    // One token a word: 75 words are seen.
    let words = vec!["cat"; 80].join("  ");
    let count = counted(&tokenizer, &words);
    assert_eq!((count.used, count.cut_at), (80, 75 * 5));

    // Two tokens a character: the 38th is half seen, and counts as seen.
    let robots = "🤖".repeat(60);
    let count = counted(&tokenizer, &robots);
    assert_eq!((count.used, count.cut_at), (119, 38 * 4));

    // The offset speaks of the prompt, not of its normalised form, which is shorter.
    let accents = vec!["e\u{301}"; 80].join(" ");
    let count = counted(&tokenizer, &accents);
    assert_eq!((count.used, count.cut_at), (80, 75 * "e\u{301} ".len()));
    assert_eq!(counted(&tokenizer, &accents[..count.cut_at]).used, 75);
}

/// What grew with the square of the length would take hours here.
#[test]
fn hostile_prompts_become_tokens() {
    let tokenizer = clip();
    let (most, ids) = (100, 77);
    for part in ["(", "[", ")", "(a:1.1)b", "(a", "a BREAK ", "a,", "a", "(x:9) ", "\\(", "é́"] {
        let prompt = part.repeat(200_000 / part.len());
        for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi, PromptSyntax::Off] {
            let read = tokenizer.read(&prompt, syntax);
            assert!((1..=most).contains(&read.chunks.len()), "{part:?} {syntax:?}: {}", read.chunks.len());
            assert!(read.chunks.iter().all(|chunk| chunk.ids.len() == ids && chunk.weights.len() == ids));
        }
    }
}

#[test]
fn a_shorter_text_encoder_takes_fewer_tokens() {
    let tokenizer = Tokenizer::new(&clip_files(), Some(5)).unwrap();
    assert_eq!(tokenizer.encode("a a a a a a"), [49406, 320, 320, 320, 49407]);
    assert_eq!(counted(&tokenizer, "a a a a a a").cut_at, 6);
    let bare = Tokenizer::new(&clip_files(), Some(2)).unwrap();
    assert_eq!(bare.encode("a"), [49406, 49407]);
    assert_eq!(counted(&bare, "a").cut_at, 0);
    assert_eq!(clip().vocabulary_size(), 49408);
}

/// A vocabulary of two letters with other marks and padding, once as two files and once as `tokenizer.json`.
#[test]
fn a_small_vocabulary_of_its_own() {
    let two_files = TokenizerFiles {
        vocab: Some(br#"{"[S]":0,"[E]":1,"[P]":2,"a":3,"a</w>":4,"b":5,"b</w>":6,"ab</w>":7}"#.to_vec()),
        merges: Some(b"#version: 0.2\na b</w>\n".to_vec()),
        config: Some(br#"{"bos_token":"[S]","eos_token":"[E]","pad_token":"[P]","model_max_length":8}"#.to_vec()),
        ..TokenizerFiles::default()
    };
    let json = br#"{"added_tokens":[],"normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},
        "padding":{"strategy":{"Fixed":20},"direction":"Right","pad_to_multiple_of":null,"pad_id":2,"pad_type_id":0,
            "pad_token":"[P]"},
        "truncation":{"max_length":3,"stride":0,"strategy":"LongestFirst","direction":"Right"},
        "post_processor":{"type":"RobertaProcessing","sep":["[E]",1],"cls":["[S]",0],"trim_offsets":false,
            "add_prefix_space":false},
        "model":{"type":"BPE","end_of_word_suffix":"</w>","merges":["a b</w>"],
            "vocab":{"[S]":0,"[E]":1,"[P]":2,"a":3,"a</w>":4,"b":5,"b</w>":6,"ab</w>":7}}}"#;
    let one_file = TokenizerFiles {
        tokenizer_json: Some(json.to_vec()),
        config: Some(br#"{"model_max_length":8}"#.to_vec()),
        ..TokenizerFiles::default()
    };
    for files in [two_files, one_file] {
        let tokenizer = Tokenizer::new(&files, None).unwrap();
        assert_eq!(tokenizer.encode("AB a b ab"), [0, 7, 4, 6, 7, 1, 2, 2]);
        assert_eq!(tokenizer.vocabulary_size(), 8);
    }
}

/// As `textual_inversion.py` saves them: the vocabulary's file does not know the word that was learned.
#[test]
fn added_tokens_are_words_of_their_own() {
    let mut config: serde_json::Value = serde_json::from_slice(clip_files().config.as_deref().unwrap()).unwrap();
    config["added_tokens_decoder"] = serde_json::Value::Null;
    let older = |added: &str| TokenizerFiles {
        added_tokens: Some(added.as_bytes().to_vec()),
        config: Some(config.to_string().into_bytes()),
        ..clip_files()
    };
    let (good, gap) = (older(r#"{"<cat-toy>": 49408}"#), older(r#"{"<cat-toy>": 50000}"#));
    config["added_tokens_decoder"] = serde_json::json!({
        "49406": { "content": "<|startoftext|>", "special": true },
        "49408": { "content": "<cat-toy>", "special": false },
    });
    let newer = TokenizerFiles { config: Some(config.to_string().into_bytes()), ..clip_files() };
    for files in [good, newer] {
        let tokenizer = Tokenizer::new(&files, Some(77)).unwrap();
        assert_eq!(tokenizer.encode("a <cat-toy> on")[..5], [49406, 320, 49408, 525, 49407]);
        assert_eq!(tokenizer.vocabulary_size(), 49409);
    }
    assert!(Tokenizer::new(&gap, Some(77)).unwrap_err().to_string().contains("<cat-toy>"));
}

/// Stable Diffusion 2's folders: `!` pads, says the map, and the config beside it names the end mark.
#[test]
fn in_older_folders_the_map_goes_before_the_config() {
    let pad = |config: &str| {
        let files = TokenizerFiles {
            config: Some(config.as_bytes().to_vec()),
            special_tokens: Some(br#"{"pad_token": "!"}"#.to_vec()),
            ..clip_files()
        };
        Tokenizer::new(&files, Some(77)).unwrap().encode("a")[76]
    };
    assert_eq!(pad(r#"{"pad_token": "<|endoftext|>"}"#), 0);
    assert_eq!(pad(r#"{"pad_token": "<|endoftext|>", "added_tokens_decoder": {}}"#), 49407);
}

#[test]
fn mistakes_in_the_files_are_named() {
    let check = |spoil: &dyn Fn(&mut TokenizerFiles), file: &str, says: &str| {
        let mut files = clip_files();
        spoil(&mut files);
        let message = Tokenizer::new(&files, Some(77)).unwrap_err().to_string();
        assert!(message.contains(file) && message.contains(says), "{message}");
    };
    check(&|f| f.merges = None, "tokenizer", "merges.txt");
    check(&|f| f.vocab = Some(b"[1, 2]".to_vec()), "vocab.json", "not a table");
    check(&|f| f.vocab = Some(br#"{"a": 1}"#.to_vec()), "vocab.json", "<|startoftext|>");
    check(&|f| f.merges = Some(b"#version: 0.2\ni n\nabc\n".to_vec()), "merges.txt", "line 3");
    check(&|f| f.merges = Some(b"zz qqq\n".to_vec()), "merges.txt", "vocab.json");
    check(&|f| f.merges = Some(vec![0xff, 0xfe]), "merges.txt", "UTF-8");
    check(&|f| f.tokenizer_json = Some(b"{".to_vec()), "tokenizer.json", "not a readable tokenizer");
    check(&|f| f.config = Some(b"{".to_vec()), "tokenizer_config.json", "not valid JSON");
    check(&|f| f.config = Some(br#"{"model_max_length": 1}"#.to_vec()), "tokenizer_config.json", "no room");
}
