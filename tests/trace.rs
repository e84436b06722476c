//! `--trace` through the real binary: what it writes is Chrome's trace event format, and holds the engine's stages, even
//! if the program is killed.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use instaflow_test_support::fixture;
use serde_json::Value;

fn generate(folder: &Path, trace: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .args(["generate", "a secret lake", "--steps", "3", "--force", "--model"])
        .arg(fixture("model"))
        .arg("-o")
        .arg(folder.join("lake.png"))
        .arg("--trace")
        .arg(trace)
        .output()
        .expect("the program starts")
}

#[test]
fn a_trace_holds_every_stage_and_never_replaces_a_file() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let trace = folder.path().join("trace.json");
    let output = generate(folder.path(), &trace);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&trace).expect("a trace");
    assert!(!text.contains("secret"), "no prompt is in it");
    let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let spans = |name: &str| events.iter().filter(|event| event["name"] == name && event["ph"] == "X").count();
    assert_eq!((spans("text encoder"), spans("U-Net"), spans("decoder")), (1, 3, 1), "{text}");
    assert!(spans("load") >= 3, "each part is loaded: {text}");
    for event in events.iter().filter(|event| event["ph"] == "X") {
        assert!(event["dur"].as_f64() > Some(0.0) && event["ts"].as_f64() >= Some(0.0), "{event}");
    }
    // On one thread, spans follow each other or lie in each other.
    let ends = |event: &Value| {
        let begins = event["ts"].as_f64().expect("a number");
        (begins, begins + event["dur"].as_f64().expect("a number"))
    };
    let all: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    for (index, one) in all.iter().enumerate() {
        for other in all[index + 1..].iter().filter(|other| other["tid"] == one["tid"]) {
            let (a, b) = (ends(one), ends(other));
            let apart = a.1 <= b.0 || b.1 <= a.0;
            let nested = (a.0 <= b.0 && b.1 <= a.1) || (b.0 <= a.0 && a.1 <= b.1);
            assert!(apart || nested, "{one} and {other}");
        }
    }

    let again = generate(folder.path(), &trace);
    assert_eq!(again.status.code(), Some(1));
    let words = String::from_utf8_lossy(&again.stderr);
    assert!(words.contains("already exists: give --trace another name"), "{words}");
    assert_eq!(std::fs::read_to_string(&trace).expect("a trace"), text, "as it was");
}

#[test]
fn the_trace_of_a_program_that_is_killed_is_whole() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let trace = folder.path().join("trace.json");
    let mut program = Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .args(["bench", "--runs", "1000", "--model"])
        .arg(fixture("model"))
        .arg("--trace")
        .arg(&trace)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let began = Instant::now();
    while !std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("decoder")) {
        assert!(began.elapsed() < Duration::from_mins(1), "no picture is traced");
        std::thread::sleep(Duration::from_millis(20));
    }
    program.kill().expect("SIGKILL, which no program can answer");
    program.wait().expect("it ended");
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert!(events.iter().any(|event| event["name"] == "U-Net" && event["ph"] == "X"), "{text}");
}
