//! A third model in the window, driven by the accessible names of its controls: the fixture's model as student and
//! teacher, and a copy that calls itself Stable Diffusion as the baseline.

use std::path::Path;

use crate::common::window::{Window, in_both_themes, model, pair, student};
use egui::accesskit::Role as Access;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::{Against, Answer, Ask, CompareAs, PaneId, distance};
use instaflow_engine::png;
use instaflow_engine::protocol::{OpenRequest, Role, Sampler, Source};
use instaflow_test_support::{Tolerance, assert_close, assert_close_case, copy_folder};
use tempfile::TempDir;

/// The fixture's model as a folder of Stable Diffusion's kind.
fn stable_diffusion() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    copy_folder(&model(), folder.path());
    let index = folder.path().join("model_index.json");
    let text = std::fs::read_to_string(&index).expect("an index");
    std::fs::write(index, text.replace("RectifiedFlowPipeline", "StableDiffusionPipeline")).expect("written");
    folder
}

fn three(sd: &TempDir) -> OpenRequest {
    OpenRequest { baseline: Some(Source::Folder(sd.path().to_owned())), ..pair() }
}

/// A window whose models have all drawn "lake".
fn compared(request: OpenRequest) -> Window {
    let mut window = Window::ready(request);
    window.type_text("lake");
    window.press("Compare");
    window.settle();
    window
}

fn a_third_model_is_a_third_column_from_the_same_noise() {
    let sd = stable_diffusion();
    for theme in [egui::Theme::Dark, egui::Theme::Light] {
        let mut window = Window::ready(three(&sd));
        window.ctx.set_theme(theme);
        window.type_text("lake");
        assert!(window.state().picture(PaneId::Baseline).is_none(), "drawn on request alone");
        window.press("Compare");
        window.settle();
        for name in ["Student picture", "Teacher picture", "Baseline picture"] {
            assert!(window.query_by_label(name).is_some(), "{name}");
        }
        let (student, baseline) = (window.picture(PaneId::Live).clone(), window.picture(PaneId::Baseline).clone());
        assert_eq!((baseline.settings.role, baseline.settings.sampler), (Role::Baseline, Some(Sampler::DpmPlusPlus2M)));
        assert_eq!((baseline.settings.steps, baseline.settings.prompt.as_str()), (25, "lake"));
        assert_close_case("what suits Stable Diffusion", baseline.settings.guidance, 5.0, Tolerance::EXACT);
        assert_eq!((baseline.settings.seed, baseline.settings.size), (student.settings.seed, student.settings.size));

        // Numbers of all three, in their order.
        assert!(window.query_by_label("1, 50, 50").is_some(), "network evaluations");
        let psnr = |lane| distance(&student, window.picture(lane)).expect("one size").psnr;
        let both = format!("{:.1} and {:.1} dB", psnr(PaneId::Teacher), psnr(PaneId::Baseline));
        assert!(window.query_by_label(&both).is_some(), "{both}");

        window.get_by_label("Prompt").focus();
        window.type_text("s at night");
        window.settle();
        assert_eq!(window.picture(PaneId::Baseline).settings.prompt, "lakes at night", "drawn again after the pause");
        let shown = window.shot();
        window.key_press_modifiers(Modifiers::COMMAND, Key::Num7);
        window.run();
        assert!(window.query_by_label("Baseline picture").is_none(), "hidden");
        assert!(window.query_by_label("1 and 50").is_some());
        assert_ne!(window.shot(), shown);
    }
}

fn two_paths_stand_beside_each_other_with_their_straightness() {
    let sd = stable_diffusion();
    for theme in [egui::Theme::Dark, egui::Theme::Light] {
        let mut window = Window::ready(three(&sd));
        window.ctx.set_theme(theme);
        window.type_text("lake");
        window.press("Compare");
        window.settle();
        for lane in [PaneId::Teacher, PaneId::Baseline] {
            let picture = window.picture(lane);
            assert_eq!(picture.path.len(), 25);
            let s = picture.straightness.expect("a run of several steps");
            let straightness = if s < 1000.0 { format!("S = {s:.1}") } else { format!("S = {s:.0}") };
            assert!(window.query_by_label(&straightness).is_some(), "{lane:?}: {straightness}");
        }
        let teachers = window.get_by_role_and_label(Access::Slider, "Step of the path");
        assert!(!teachers.accesskit_node().is_disabled());
        let path = window.get_by_role_and_label(Access::Slider, "Step of the baseline's path");
        path.focus();
        window.run();
        window.key_press(Key::Home);
        window.run();
        let last = window.picture(PaneId::Baseline).rgb.clone();
        assert_ne!(
            window.state().seen(PaneId::Baseline).expect("an estimate").rgb,
            last,
            "the first estimate is shown"
        );
        let t = window.picture(PaneId::Baseline).path[0].t;
        let title = format!("Baseline's estimate at t = {t:.2}");
        assert!(t > 0.0 && window.query_by_label(&title).is_some(), "a diffusion does not begin at t = 0: {title}");
        assert!(window.query_by_label("Teacher's estimate at t = 0.00").is_some(), "both are at the same step");
        window.press("Back to the picture");
        assert_eq!(window.state().seen(PaneId::Baseline).expect("the picture").rgb, last);
    }
}

fn in_one_place_the_student_is_compared_with_either() {
    let sd = stable_diffusion();
    let mut window = compared(three(&sd));
    assert!(window.query_by_label("Against baseline").is_none(), "side by side there is room for all");
    window.press("Difference");
    let against_teacher = window.shot();
    window.press("Against baseline");
    window.settle();
    assert_eq!(window.state().controls().against, Against::Baseline);
    assert!(window.query_by_label("Student and baseline").is_some());
    assert_ne!(window.shot(), against_teacher, "another map");
    window.press("Blink");
    let student = window.shot();
    window.key_down(Key::F2);
    window.run();
    assert_ne!(window.shot(), student);
    window.key_up(Key::F2);
    window.press("Against teacher");
    assert_eq!(window.state().controls().compare_as, CompareAs::Blink);
    assert!(window.query_by_label("Student and teacher").is_some());
}

fn a_baseline_is_opened_set_saved_remembered_and_closed() {
    let sd = stable_diffusion();
    let mut window = Window::ready(pair());
    assert!(window.query_by_label("Baseline steps").is_none());
    window.will_answer(Answer::Path(sd.path().to_owned()));
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::L);
    window.see("Baseline steps");
    assert_eq!(window.asked(), [Ask::Folder { title: "Open a model folder as baseline" }]);
    window.settle();
    window.type_text("boat");
    window.press("Compare");
    window.settle();
    window.press("Save the baseline's");
    let path = window.folder().join("baseline.png");
    window.will_answer(Answer::Path(path.clone()));
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    window.wait("the picture", |_| path.exists());
    let restored = png::read_settings(&path).expect("our own PNG");
    assert_eq!(restored.settings, window.picture(PaneId::Baseline).settings);
    let parameters = text(&path, "parameters");
    assert!(parameters.contains("Steps: 25, Sampler: DPM++ 2M, CFG scale: 5"), "{parameters}");

    let both = window.folder().join("all.png");
    window.will_answer(Answer::Path(both.clone()));
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::B);
    window.wait("the comparison", |_| both.exists());
    let saved = image::open(&both).expect("a PNG").into_rgb8();
    let width = window.picture(PaneId::Live).width * 480_u32.div_ceil(window.picture(PaneId::Live).width);
    assert!(saved.width() > 4 * width, "four pictures: {}", saved.width());

    let mut window = window.reopen();
    window.settle();
    assert_eq!(window.picture(PaneId::Baseline).settings.prompt, "boat", "it comes back as it was left");

    // Its settings come back from its picture, whatever is set since.
    let drawn = window.picture(PaneId::Baseline).clone();
    window.get_by_label("Baseline sampler").click();
    window.run();
    window.press("DDIM");
    window.settle();
    let other = window.picture(PaneId::Baseline).clone();
    assert_eq!(other.settings.sampler, Some(Sampler::Ddim));
    assert_ne!(other.rgb, drawn.rgb);
    png::save(&window.folder().join("ddim.png"), &other, true, false).expect("a folder that can be written");
    window.get_by_label("Prompt").focus();
    window.type_text("s");
    window.drop_file(&path);
    window.see("Replace my prompt");
    window.press("Replace my prompt");
    window.settle();
    assert_eq!(window.picture(PaneId::Baseline).rgb, drawn.rgb);
    let ddim = window.folder().join("ddim.png");
    window.drop_file(&ddim);
    window.wait("the sampler", |app| app.controls().recipe.sampler == Some(Sampler::Ddim));
    window.settle();
    assert_eq!(window.picture(PaneId::Baseline).rgb, other.rgb, "drawn as it was then");

    window.press("Close the baseline");
    window.settle();
    assert!(window.query_by_label("Baseline steps").is_none() && window.query_by_label("Baseline picture").is_none());
    assert!(window.query_by_label("Teacher picture").is_some());
}

fn a_student_and_a_baseline_need_no_teacher() {
    let sd = stable_diffusion();
    let request = OpenRequest { baseline: Some(Source::Folder(sd.path().to_owned())), ..student() };
    let mut window = compared(request);
    assert!(window.query_by_label("Baseline picture").is_some() && window.query_by_label("Teacher picture").is_none());
    assert!(window.query_by_label("1 and 50").is_some());
    window.press("Split");
    assert!(window.query_by_label("Student and baseline").is_some());
}

fn a_baseline_with_latents_of_its_own_says_that_its_noise_is_another() {
    let sd = stable_diffusion();
    let baseline = Some(Source::Folder(sd.path().to_owned()));
    let mut window = Window::ready(OpenRequest { baseline, ..OpenRequest::default() });
    window.press("Compare");
    window.settle();
    let (pocket, other) =
        (window.picture(PaneId::Live).latents.clone(), window.picture(PaneId::Baseline).latents.clone());
    assert_ne!(pocket.expect("latents").shape, other.expect("latents").shape, "Pocket has its own");
    assert_eq!(window.query_all_by_label_contains("other noise").count(), 1);
}

fn typing_and_esc_end_the_baselines_run() {
    let sd = stable_diffusion();
    let mut window = compared(three(&sd));
    window.get_by_label("Prompt").focus();
    // Esc may come too late for one run, but not for all: a picture without its path is an estimate.
    let mut typed = "lake".to_owned();
    while !window.picture(PaneId::Baseline).path.is_empty() {
        assert!(typed.len() < 40, "every run was faster than Esc");
        typed.push('s');
        window.type_text("s");
        window.until("the new prompt's picture", |window| window.picture(PaneId::Baseline).settings.prompt == typed);
        window.key_press(Key::Escape);
        window.settle();
    }
    assert!(window.query_by_label("stopped").is_some());
    window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    window.settle();
    assert_eq!(window.picture(PaneId::Baseline).path.len(), 25, "asked for again, it is drawn");
    assert!(window.query_by_label("stopped").is_none());
}

fn stable_diffusion_alone_is_drawn_in_its_own_way() {
    let sd = stable_diffusion();
    let mut window =
        Window::ready(OpenRequest { model: Source::Folder(sd.path().to_owned()), ..OpenRequest::default() });
    window.type_text("lake");
    window.settle();
    let settings = window.picture(PaneId::Live).settings.clone();
    assert_eq!((settings.role, settings.sampler, settings.steps), (Role::Teacher, Some(Sampler::DpmPlusPlus2M), 25));
    assert_close_case("the guidance that suits it", settings.guidance, 5.0, Tolerance::EXACT);

    // A flow in its place takes what suits a flow.
    window.will_answer(Answer::Path(model()));
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O);
    window.wait("the flow", |app| app.picture(PaneId::Live).is_some_and(|p| p.settings.sampler == Some(Sampler::Flow)));
    window.settle();
    assert_close(window.picture(PaneId::Live).settings.guidance, 1.5, Tolerance::EXACT);
}

fn a_folder_that_is_no_baseline_is_a_message_and_the_pair_stays() {
    let sd = stable_diffusion();
    let config = sd.path().join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&config).expect("a config");
    std::fs::write(&config, text.replace("scaled_linear", "squaredcos_cap_v2")).expect("written");
    let mut window = Window::ready(pair());
    window.will_answer(Answer::Path(sd.path().to_owned()));
    window.press("File");
    window.get_by_label_contains("Open as baseline…").click();
    window.run();
    window.wait("the refusal", |app| app.errors().count() == 1);
    assert!(window.errors()[0].contains("squaredcos_cap_v2"), "{:?}", window.errors());
    window.settle();
    window.press("Compare");
    window.settle();
    assert!(window.query_by_label("Teacher picture").is_some());
}

fn what_a_failed_opening_interrupts_is_drawn_on() {
    let sd = stable_diffusion();
    let mut window = compared(three(&sd));
    window.get_by_label("Prompt").focus();
    window.type_text("s");
    window.until("the new prompt's picture", |window| window.picture(PaneId::Baseline).settings.prompt == "lakes");
    let nowhere = window.folder().to_owned();
    window.drop_file(&nowhere);
    window.wait("the refusal", |app| app.errors().count() == 1);
    window.settle();
    assert_eq!(window.picture(PaneId::Baseline).path.len(), 25);
    assert!(window.query_by_label("stopped").is_none());
}

/// A PNG's text under this keyword.
fn text(path: &Path, keyword: &str) -> String {
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("a picture"));
    let reader = ::png::Decoder::new(file).read_info().expect("a PNG");
    let found = reader.info().uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    found.expect("the text").text.clone()
}

in_both_themes!(
    a_third_model_is_a_third_column_from_the_same_noise,
    two_paths_stand_beside_each_other_with_their_straightness,
    in_one_place_the_student_is_compared_with_either,
    a_baseline_is_opened_set_saved_remembered_and_closed,
    a_student_and_a_baseline_need_no_teacher,
    a_baseline_with_latents_of_its_own_says_that_its_noise_is_another,
    typing_and_esc_end_the_baselines_run,
    stable_diffusion_alone_is_drawn_in_its_own_way,
    a_folder_that_is_no_baseline_is_a_message_and_the_pair_stays,
    what_a_failed_opening_interrupts_is_drawn_on,
);
