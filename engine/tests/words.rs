//! What a model knows in words: from its `vocabulary.json`, or from a vocabulary of whole words.

use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "embed-pocket")]
use instaflow_engine::Cancel;
use instaflow_engine::checkpoint;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, PromptSyntax, Settings, Source, TokenCount};
use instaflow_test_support::{copy_folder, fixture};
use tempfile::TempDir;

const VOCABULARY: &str = r#"{
    "groups": [{ "name": "time", "classes": [{ "name": "night", "phrases": ["at night"] }] }],
    "words": { "at": [], "night": ["time"], "lake": [] },
    "examples": ["lake at night"]
}"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The fixture's model, whose vocabulary is CLIP's, with this `vocabulary.json`.
fn model(vocabulary: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("model"), folder.path());
    if let Some(vocabulary) = vocabulary {
        fs::write(folder.path().join("vocabulary.json"), vocabulary).unwrap();
    }
    folder
}

fn open(folder: &Path) -> Models {
    let request = OpenRequest { model: Source::Folder(folder.to_owned()), ..OpenRequest::default() };
    Models::open(&request, &mut |_| {}).unwrap_or_else(|error| panic!("{error} {:?}", error.causes()))
}

fn counted(models: &Models, prompt: &str) -> TokenCount {
    models.count_tokens(&Settings::student(prompt))
}

/// The unknown words of a prompt.
fn unknown(models: &Models, prompt: &str) -> Vec<String> {
    let count = counted(models, prompt);
    assert_eq!(count.prompt, prompt);
    count.unknown.into_iter().map(|word| prompt[word].to_owned()).collect()
}

#[test]
fn with_clips_vocabulary_no_word_is_unknown() {
    let models = open(model(None).path());
    let summary = models.summary();
    assert_eq!(summary.student.expect("it is open").words, None);
    assert_eq!(unknown(&models, "a qwertzuiop by Xyzzy, 12345"), [""; 0]);
}

#[test]
fn a_model_folder_may_say_what_it_knows() {
    let models = open(model(Some(VOCABULARY)).path());
    let words = models.summary().student.expect("it is open").words.expect("it says so");
    assert_eq!(words.known.iter().collect::<Vec<_>>(), ["at", "lake", "night"]);
    assert_eq!(words.groups[0].classes[0].phrases, ["at night"]);
    assert_eq!(unknown(&models, "Lake, at NIGHT. A lighthouse's lamp"), ["A", "lighthouse", "lamp"]);
    let long = Settings::student(format!("{} unicorn", "lake ".repeat(100)));
    let cut = models.count_tokens(&Settings { prompt_syntax: PromptSyntax::Off, ..long });
    assert!(cut.unknown.is_empty(), "what is cut off is not underlined, too");
}

#[test]
fn synonyms_and_misspelt_words_are_understood() {
    let synonyms = r#""synonyms": { "pond": "lake", "late evening": "night", "like": "" }, "examples""#;
    let models = open(model(Some(&VOCABULARY.replace("\"examples\"", synonyms))).path());
    assert_eq!(unknown(&models, "Pond at late evening, lkae at nihgt. I like a pound "), ["I", "like", "a", "pound"]);
    // Half a word is not known yet, though it is drawn as a whole one.
    assert_eq!(unknown(&models, "lake at nig"), ["nig"]);
    let used = |prompt: &str| counted(&models, prompt).used;
    assert_eq!((used("lake at nig"), used("unicorn pond")), (used("lake at night"), used("lake")));
    // What is cut off is counted in the prompt as it was typed.
    let long = format!("{} unicorn", "pond ".repeat(100));
    let whole = counted(&models, &long);
    assert_eq!((whole.used, whole.limit, whole.cut_at), (100, 150, long.len()));
    assert_eq!(unknown(&models, &long), ["unicorn"]);
    let cut = models.count_tokens(&Settings { prompt_syntax: PromptSyntax::Off, ..Settings::student(long) });
    assert_eq!((cut.used, cut.cut_at), (100, 5 * cut.limit));
    assert!(cut.unknown.is_empty(), "it is not seen");
    // Marks stand around words, not in them.
    assert_eq!(unknown(&models, "(Pond:1.2) [unicorn] lake\\(s"), ["unicorn", "s"]);
    assert_eq!((used("(pond:1.2) BREAK (nihgt)"), used("(lake at nig) x")), (76, 2));
}

#[test]
fn a_bad_list_costs_itself_and_not_the_model() {
    let folder = model(Some(r#"{ "groups": 7 }"#));
    let models = open(folder.path());
    let summary = models.summary();
    assert_eq!(summary.student.expect("the model opens").words, None);
    let [remark] = &summary.remarks[..] else { panic!("{:?}", summary.remarks) };
    assert!(remark.message.contains("vocabulary.json") && remark.message.contains("used without it"), "{remark:?}");

    let lines = checkpoint::describe(folder.path()).unwrap().lines;
    assert!(lines.iter().any(|line| line.contains("vocabulary.json") && line.contains("problem: ")), "{lines:#?}");
    let lines = checkpoint::describe(model(Some(VOCABULARY)).path()).unwrap().lines;
    assert!(lines.iter().any(|line| line.contains("vocabulary.json") && line.contains("3 words")), "{lines:#?}");
}

#[test]
fn a_pair_says_it_once_for_both() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&root().join("assets/pocket"), folder.path());
    fs::write(folder.path().join("vocabulary.json"), VOCABULARY).unwrap();
    let summary = open(folder.path()).summary();
    let (student, teacher) = (summary.student.expect("a student"), summary.teacher.expect("a teacher"));
    assert_eq!(student.words.as_ref().map(|words| words.known.len()), Some(3));
    assert_eq!(student.words, teacher.words);

    fs::write(folder.path().join("vocabulary.json"), "no").unwrap();
    let summary = open(folder.path()).summary();
    assert_eq!(summary.remarks.len(), 1, "said once: {:?}", summary.remarks);
    assert!(summary.student.expect("a student").words.is_some(), "the tokenizer still tells");
}

#[test]
fn without_a_list_a_vocabulary_of_whole_words_tells() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&root().join("assets/pocket"), folder.path());
    fs::remove_file(folder.path().join("vocabulary.json")).unwrap();
    let models = open(folder.path());
    let words = models.summary().student.expect("a student").words.expect("its vocabulary is small");
    assert!(words.known.contains("mountain") && words.groups.is_empty());
    assert_eq!(unknown(&models, "A snowy mountain, a Unicorn by the lake at qwertz"), ["Unicorn", "qwertz"]);
}

#[cfg(feature = "embed-pocket")]
mod pocket {
    use super::*;

    fn pocket() -> Models {
        Models::open(&OpenRequest::default(), &mut |_| {}).unwrap()
    }

    #[test]
    fn what_pocket_says_it_knows_is_what_its_tokenizer_knows() {
        let models = pocket();
        let said = models.summary().student.expect("a student").words.expect("it says so");
        assert!(said.groups.len() >= 4 && said.examples.len() >= 3, "{said:?}");
        assert_eq!(models.summary().remarks, []);

        let folder = tempfile::tempdir().unwrap();
        copy_folder(&root().join("assets/pocket"), folder.path());
        fs::remove_file(folder.path().join("vocabulary.json")).unwrap();
        let silent = open(folder.path());
        for word in &said.known {
            assert_eq!(unknown(&silent, word), [""; 0], "the tokenizer has no token for it");
        }
        let learned = silent.summary().student.expect("a student").words.expect("its vocabulary is small");
        let missing: Vec<_> = learned.known.difference(&said.known).collect();
        assert!(missing.is_empty(), "learned, but not listed: {missing:?}");
    }

    #[test]
    fn a_synonym_draws_what_it_means_and_keeps_its_name() {
        let models = pocket();
        let draw = |prompt: &str| {
            let settings = Settings { seed: 3, ..Settings::student(prompt) };
            let drawn = models.draw(&settings, None, &mut |_| (), &Cancel::default()).expect("a picture").picture;
            assert_eq!(drawn.settings.prompt, prompt);
            drawn.rgb
        };
        for (typed, meant) in [
            ("a red barn by the lake at twilight", "a red cabin by the lake at dusk"),
            ("snow-capped mountians at sundown", "snowy mountains at sunset"),
            ("a horse by the lake", "a by the lake"),
            ("a snowy mou", "a snowy mountain"),
        ] {
            assert!(draw(typed) == draw(meant), "{typed:?} is not drawn as {meant:?}");
        }
        assert!(draw("a barn by the lake") != draw("a horse by the lake"));
        assert_eq!(unknown(&models, "a ship by a horse at twilight"), ["horse"]);
    }

    #[test]
    fn marks_work_and_plain_words_draw_what_they_drew() {
        let models = pocket();
        let draw = |prompt: &str, prompt_syntax: PromptSyntax| {
            let settings = Settings { seed: 3, prompt_syntax, ..Settings::student(prompt) };
            models.draw(&settings, None, &mut |_| (), &Cancel::default()).expect("a picture").picture.rgb
        };
        for plain in ["a snowy mountain by the lake at dusk", "a barn, at: twilight; snow-capped mou", ""] {
            let off = draw(plain, PromptSyntax::Off);
            assert!(draw(plain, PromptSyntax::A1111) == off, "{plain:?}");
            assert!(draw(plain, PromptSyntax::ComfyUi) == off, "{plain:?}");
        }
        let plain = draw("a red cabin by the lake", PromptSyntax::A1111);
        for marked in ["a (red:1.6) barn by the lake", "a red cabin BREAK by the lake", "a red [cabin] by the lake"] {
            assert!(draw(marked, PromptSyntax::A1111) != plain, "{marked:?}");
        }
        let limit = models.summary().student.expect("a student").token_limit - 2;
        let long = format!("{}at night", "snowy mountains, a lake, ".repeat(10));
        let read = counted(&models, &long);
        assert!(read.used > limit && read.limit == 2 * limit && read.cut_at == long.len(), "{read:?}");
        assert!(draw(&long, PromptSyntax::A1111) != draw(&long, PromptSyntax::Off), "its end is drawn");
        assert_eq!(unknown(&models, "a (unicorn:1.2) [barn] \\(horse\\)"), ["unicorn", "horse"]);
    }

    #[test]
    fn its_examples_and_phrases_are_of_known_words() {
        let models = pocket();
        let words = models.summary().student.expect("a student").words.expect("it says so");
        let classes = words.groups.iter().flat_map(|group| &group.classes);
        for text in classes.flat_map(|class| &class.phrases).chain(&words.examples) {
            assert_eq!(unknown(&models, text), [""; 0], "{text}");
        }
        assert_eq!(unknown(&models, "a unicorn on the moon"), ["unicorn"]);
    }
}
