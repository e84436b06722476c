//! The window, driven by the accessible names of its controls.

use std::path::Path;

use crate::common::window::{Window, in_both_themes, model, pair, student};
use egui::accesskit::{Live, Role as Access, Toggled};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use instaflow::state::{Answer, Ask, CompareAs, Controls, PaneId, Show, Theme};
use instaflow_engine::png;
use instaflow_engine::protocol::{OpenRequest, Role, Source};
use instaflow_test_support::{Tolerance, assert_close_case};

fn the_prompt_has_the_focus_and_every_key_draws() {
    let mut window = Window::ready(student());
    assert!(window.get_by_label("Prompt").is_focused());
    let empty = window.picture(PaneId::Live).rgb.clone();

    window.type_text("a");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "a");
    assert_ne!(window.picture(PaneId::Live).rgb, empty, "another prompt, another picture");

    for letter in [" ", "s", "n", "o", "w", "y"] {
        window.type_text(letter);
    }
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "a snowy", "the last thing typed is drawn");
    assert!(window.query_by_label_contains("Key to picture").is_some());
    assert!(window.query_by_label_contains("/75").is_some(), "the token count is shown");
}

fn a_long_prompt_goes_on_and_what_has_no_effect_is_said() {
    let mut window = Window::ready(student());
    window.type_text(&format!("[red|blue] {}", "cat ".repeat(140)));
    window.settle();
    window.until("the count of two chunks", |window| window.query_by_label("141/150").is_some());
    assert!(window.query_by_label_contains("cannot alternate between steps").is_some());
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.type_text("cat");
    window.settle();
    window.until("the new count", |window| window.query_by_label("1/75").is_some());
    assert!(window.query_by_label_contains("cannot alternate").is_none());
}

fn with_live_off_enter_draws() {
    let mut window = Window::ready(student());
    window.press("Live");
    window.get_by_label("Prompt").focus();
    window.type_text("boat");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "", "nothing is drawn unasked");

    window.key_press(Key::Enter);
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "boat");
    assert_eq!(window.state().controls().recipe.prompt, "boat", "Enter does not break the line");

    window.key_press_modifiers(Modifiers::SHIFT, Key::Enter);
    window.run();
    assert_eq!(window.state().controls().recipe.prompt, "boat\n", "Shift+Enter does");
}

fn the_dice_changes_the_picture_and_the_lock_keeps_it() {
    let mut window = Window::ready(student());
    let before = window.picture(PaneId::Live).clone();
    window.press("New seed");
    window.settle();
    let diced = window.picture(PaneId::Live).clone();
    assert_ne!(diced.settings.seed, before.settings.seed);
    assert_ne!(diced.rgb, before.rgb);

    window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.seed, diced.settings.seed, "locked");
    window.press("Lock seed");
    window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    window.settle();
    assert_ne!(window.picture(PaneId::Live).settings.seed, diced.settings.seed, "unlocked");
}

fn comparing_draws_the_teacher_from_the_same_noise() {
    let mut window = Window::ready(pair());
    window.type_text("lake");
    window.press("Compare");
    window.settle();
    assert!(window.query_by_label("Teacher picture").is_some());
    let (student, teacher) = (window.picture(PaneId::Live).clone(), window.picture(PaneId::Teacher).clone());
    assert_eq!((student.settings.role, student.settings.steps), (Role::Student, 1));
    assert_eq!((teacher.settings.role, teacher.settings.steps), (Role::Teacher, 25));
    assert_eq!(teacher.settings.prompt, "lake");
    assert_eq!((student.settings.seed, student.settings.size), (teacher.settings.seed, teacher.settings.size));
    assert!(teacher.straightness.is_some());
    assert!(window.query_by_label_contains("25 steps").is_some(), "the teacher's time is shown");
    assert!(window.query_by_label_contains("1 step,").is_some(), "the student's time is shown");

    window.get_by_label("Prompt").focus();
    window.type_text("s at night");
    window.settle();
    assert_eq!(window.picture(PaneId::Teacher).settings.prompt, "lakes at night", "drawn again after the pause");

    window.key_press_modifiers(Modifiers::COMMAND, Key::T);
    window.run();
    assert!(window.query_by_label("Teacher picture").is_none());
}

fn without_a_teacher_comparing_is_off_and_so_are_its_settings() {
    let window = Window::ready(student());
    assert!(window.get_by_label("Compare").accesskit_node().is_disabled());
    assert!(window.get_by_label("Teacher steps").accesskit_node().is_disabled());
    assert!(window.get_by_label("Student guidance").accesskit_node().is_disabled());
    assert_eq!(window.get_by_label("Live").accesskit_node().toggled(), Some(Toggled::True));
}

fn a_saved_picture_brings_its_settings_back_after_a_question() {
    let mut window = Window::ready(student());
    window.type_text("red fox, \"quoted\", café");
    window.press("New seed");
    window.settle();
    let drawn = window.picture(PaneId::Live).clone();

    let path = window.folder().join("fox.png");
    window.will_answer(Answer::Path(path.clone()));
    window.press("Save picture…");
    window.wait("the picture is saved", |_| path.exists());
    assert!(
        matches!(&window.asked()[..], [Ask::SavePicture { name }] if name.starts_with("red-fox") && Path::new(name).extension() == Some("png".as_ref()))
    );
    assert_eq!(png::read_settings(&path).expect("our own PNG").settings, drawn.settings);

    window.get_by_label("Prompt").focus();
    window.type_text(" and more");
    window.press("New seed");
    window.settle();
    let mine = window.state().controls().clone();

    window.drop_file(&path);
    window.see("Keep my prompt");
    window.press("Keep my prompt");
    assert_eq!(window.state().controls().recipe.prompt, mine.recipe.prompt);
    assert_eq!(window.state().controls().recipe.seed, mine.recipe.seed);

    window.drop_file(&path);
    window.see("Replace my prompt");
    window.press("Replace my prompt");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings, drawn.settings);
    assert_eq!(window.picture(PaneId::Live).rgb, drawn.rgb, "the same settings, the same picture");
}

fn an_empty_prompt_is_restored_into_without_a_question() {
    let mut window = Window::ready(student());
    let path = window.folder().join("other.png");
    let mut picture = window.picture(PaneId::Live).clone();
    "from elsewhere".clone_into(&mut picture.settings.prompt);
    png::save(&path, &picture, true, false).expect("a folder that can be written");
    window.drop_file(&path);
    window.wait("the prompt", |app| app.controls().recipe.prompt == "from elsewhere");
    assert!(window.query_by_label("Replace my prompt").is_none());
}

fn nothing_is_overwritten_unasked_and_quick_save_never_asks() {
    let mut window = Window::ready(student());
    // The dialog has asked about "taken", not about "taken.png".
    let taken = window.folder().join("taken.png");
    std::fs::write(&taken, "mine").expect("a folder that can be written");
    window.will_answer(Answer::Path(window.folder().join("taken")));
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    window.wait("the refusal", |app| app.errors().count() == 1);
    assert_eq!(std::fs::read(&taken).expect("still there"), b"mine");

    let output = window.folder().join("output");
    let saved = |folder: &Path| {
        let days = std::fs::read_dir(folder).into_iter().flatten().flatten();
        days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten()).count()
    };
    let shortcut = Modifiers::COMMAND.plus(Modifiers::SHIFT);
    for count in 1..=2 {
        window.key_press_modifiers(shortcut, Key::S);
        window.wait("the quick save", |_| saved(&output) == count);
    }
    assert_eq!(window.asked().len(), 1, "one dialog in all");
}

fn a_stopped_picture_is_said_to_be_one() {
    let mut window = Window::ready(student());
    // Esc may come too late for one picture, but not for all.
    let mut typed = String::new();
    while window.query_by_label("Stopped: Ctrl+Enter draws").is_none() {
        assert!(typed.len() < 40, "every picture was faster than Esc");
        typed.push('a');
        window.event(egui::Event::Text("a".to_owned()));
        window.step();
        window.key_press(Key::Escape);
        window.settle();
    }
    assert!(window.get_by_label("Prompt").is_focused());
    assert_ne!(window.picture(PaneId::Live).settings.prompt, typed);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, typed);
    assert!(window.query_by_label("Stopped: Ctrl+Enter draws").is_none());
    let picture = window.get_by_label("Student picture").accesskit_node().description();
    assert_eq!(picture, Some(format!("{typed}, seed 0")));
}

fn a_wrong_folder_is_a_message_that_stays_until_dismissed() {
    let mut window = Window::ready(student());
    let nowhere = window.folder().join("no-such-model");
    window.will_answer(Answer::Path(nowhere));
    window.key_press_modifiers(Modifiers::COMMAND, Key::O);
    window.wait("the error", |app| app.errors().count() == 1);
    assert!(window.errors()[0].contains("no-such-model"), "{:?}", window.errors());
    let said =
        window.query_all_by_label_contains("no-such-model").any(|node| node.accesskit_node().live() == Live::Assertive);
    assert!(said, "a screen reader says it at once");

    window.type_text("still drawing");
    window.settle();
    assert_eq!(window.picture(PaneId::Live).settings.prompt, "still drawing", "the model that was open stays open");
    assert_eq!(window.errors().len(), 1, "the message stays");
    let dismiss = format!("Dismiss: {}", window.errors()[0]);
    window.press(&dismiss);
    assert!(window.errors().is_empty());
}

fn a_folder_that_does_not_open_gives_way_to_pocket_and_is_not_tried_again() {
    let nowhere = OpenRequest { model: Source::Folder("no-such-folder".into()), ..OpenRequest::default() };
    let mut window = Window::new(nowhere);
    window.wait("the error", |app| app.errors().count() == 1);
    window.type_text("hello");
    assert!(window.query_by_label_contains("Ctrl+O").is_some(), "it says how to open a model");
    window.settle();
    let shown = window.picture(PaneId::Live);
    assert_eq!((shown.settings.prompt.as_str(), shown.model.as_str()), ("hello", "Pocket"));
    let mut window = window.reopen();
    assert_eq!((window.errors(), window.picture(PaneId::Live).model.as_str()), (vec![], "Pocket"));

    window.will_answer(Answer::Path(model()));
    window.key_press_modifiers(Modifiers::COMMAND, Key::O);
    window.wait("the other model's picture", |app| app.picture(PaneId::Live).is_some_and(|p| p.model != "Pocket"));
    window.press("File");
    window.get_by_label_contains("Open Pocket").click();
    window.run();
    window.settle();
    assert_eq!(window.picture(PaneId::Live).model, "Pocket", "there is a way back");
}

fn a_folder_opened_as_teacher_makes_a_pair() {
    let mut window = Window::ready(student());
    window.will_answer(Answer::Path(model()));
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O);
    window.until("a teacher", |window| !window.get_by_label("Compare").accesskit_node().is_disabled());
    window.settle();
    window.press("Compare");
    window.settle();
    assert_eq!(window.picture(PaneId::Teacher).settings.role, Role::Teacher);
}

fn a_desktop_without_dialogs_is_told_apart_from_a_cancelled_one() {
    let mut window = Window::ready(student());
    window.will_answer(Answer::Cancelled);
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    window.run();
    assert!(window.errors().is_empty());

    // The first dialog's thread may not have closed it yet; then the second is not opened.
    window.will_answer(Answer::Unavailable);
    for _ in 0..6000 {
        window.key_press_modifiers(Modifiers::COMMAND, Key::S);
        window.run();
        if !window.errors().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(window.errors()[0].contains("xdg-desktop-portal"));
    assert!(window.query_by_label_contains("Quick save (Ctrl+Shift+S)").is_some());
}

fn a_file_that_is_no_picture_is_refused_with_a_sentence() {
    let mut window = Window::ready(student());
    let path = window.folder().join("letter.png");
    std::fs::write(&path, "Dear reader").expect("a folder that can be written");
    window.drop_file(&path);
    window.wait("the refusal", |app| app.errors().count() == 1);
    assert!(window.errors()[0].contains("letter.png"), "{:?}", window.errors());
}

fn menus_and_shortcut_list_name_every_command() {
    let mut window = Window::ready(pair());
    window.press("Window");
    assert!(window.query_by_label_contains("Dark theme").is_some());
    window.key_press(Key::Escape);
    window.run();
    window.key_press(Key::F1);
    window.run();
    for command in instaflow::state::commands() {
        assert!(window.query_all_by_label_contains(command.label()).next().is_some(), "{command:?}");
    }
    window.press("Close");
    assert!(window.query_by_label("Close").is_none());
}

fn the_four_ways_to_compare_show_one_pair_and_its_distance() {
    for theme in [egui::Theme::Dark, egui::Theme::Light] {
        let mut window = Window::ready(pair());
        window.ctx.set_theme(theme);
        window.type_text("lake");
        window.press("Compare");
        window.settle();
        assert!(
            window.query_by_label("Student picture").is_some() && window.query_by_label("Teacher picture").is_some()
        );

        window.press("Split");
        assert_eq!(window.state().controls().compare_as, CompareAs::Split);
        let handle = window.get_by_role_and_label(Access::Slider, "Split");
        handle.focus();
        window.run();
        for _ in 0..5 {
            window.key_press(Key::ArrowRight);
        }
        window.run();
        assert_close_case("the arrows move the line", window.state().controls().split, 0.6, Tolerance::absolute(1e-3));

        window.press("Blink");
        let (student, teacher) = (window.shot(), {
            window.key_down(Key::F2);
            window.run();
            window.shot()
        });
        assert_ne!(student, teacher, "while F2 is held, the teacher's picture is in the student's place");
        window.key_up(Key::F2);
        window.run();
        assert_eq!(window.shot(), student);

        window.press("Difference");
        window.settle();
        let distance = window.state().distance().expect("both are drawn").clone();
        let pictures = (window.picture(PaneId::Live), window.picture(PaneId::Teacher));
        assert_eq!(Some(distance.clone()), instaflow::state::distance(pictures.0, pictures.1));
        let psnr = format!("{:.1} dB", distance.psnr);
        assert!(window.query_by_label(&psnr).is_some(), "{psnr} is shown");
        assert!(window.query_by_label("1 and 50").is_some(), "network evaluations: guidance takes two a step");
    }
}

fn the_palette_finds_a_command_by_a_few_letters_and_tells_why_it_cannot() {
    let mut window = Window::ready(student());
    let open = Modifiers::COMMAND.plus(Modifiers::SHIFT);
    window.key_press_modifiers(open, Key::P);
    window.run();
    assert!(window.get_by_label("Command").is_focused());
    window.type_text("vari");
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(window.state().controls().show, Show::Variations);
    assert!(window.query_by_label("Command").is_none(), "it closes");
    assert_eq!(window.state().controls().recipe.prompt, "", "nothing went into the prompt");
    assert!(window.get_by_label("Prompt").is_focused(), "the keyboard is back where it was");

    // What Tab reaches is what Enter does.
    window.key_press_modifiers(open, Key::P);
    window.run();
    window.type_text("theme");
    for key in [Key::Tab, Key::Tab, Key::Enter] {
        window.key_press(key);
        window.run();
    }
    assert_eq!(window.state().controls().theme, Theme::Light, "the second of them; the first is dark");

    window.key_press_modifiers(open, Key::P);
    window.run();
    window.type_text("difference");
    assert!(window.query_by_label_contains("No teacher is open").is_some());
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(window.state().controls().show, Show::Variations, "what cannot be done is not done");
    window.key_press(Key::Escape);
    window.run();
    assert!(window.query_by_label("Command").is_none());
}

fn variations_are_drawn_live_and_a_click_takes_one_over() {
    let mut window = Window::ready(student());
    window.type_text("boat");
    window.press("Variations");
    window.settle();
    for (cell, seed) in [(0, 1), (1, 2), (2, 3)] {
        let settings = &window.state().batch_picture(cell).expect("drawn").settings;
        assert_eq!((settings.seed, settings.prompt.as_str()), (seed, "boat"));
    }
    window.get_by_label("Prompt").focus();
    window.type_text("s");
    window.settle();
    let wanted = window.state().batch_picture(1).expect("drawn again").clone();
    assert_eq!(wanted.settings.prompt, "boats");

    // What is shown again is drawn again.
    window.press("Picture");
    window.press("Variations");
    window.settle();
    assert_eq!(window.state().batch_picture(1).map(|picture| &picture.rgb), Some(&wanted.rgb));

    window.press("Seed 2");
    window.settle();
    assert_eq!(window.state().controls().recipe.seed, 2);
    assert_eq!(window.state().controls().show, Show::Picture);
    assert_eq!(window.picture(PaneId::Live).rgb, wanted.rgb, "the very picture that was clicked");
}

fn near_variations_lie_on_the_way_to_other_seeds() {
    let mut window = Window::ready(student());
    let base = window.picture(PaneId::Live).clone();
    window.press("Variations");
    window.press("9 pictures");
    window.settle();
    assert!(window.state().batch_picture(7).is_some_and(|picture| picture.settings.seed == 8));
    let far = window.state().batch_picture(0).expect("drawn").clone();
    let slider = window.get_by_role_and_label(Access::Slider, "Spread");
    slider.focus();
    window.run();
    for _ in 0..80 {
        window.key_press(Key::ArrowLeft);
    }
    window.settle();
    let near = window.state().batch_picture(0).expect("drawn").clone();
    let toward = near.settings.blend.seed.clone().expect("some of the way");
    assert_eq!((near.settings.seed, toward.to), (0, 1));
    let psnr = |picture| instaflow::state::distance(&base, picture).expect("one size").psnr;
    assert!(psnr(&near) > psnr(&far), "a little of the way changes less: {} and {}", psnr(&near), psnr(&far));
}

fn the_ends_of_both_ways_are_the_pictures_of_their_own_prompt_and_seed() {
    let mut window = Window::ready(student());
    window.type_text("boat");
    window.settle();
    let from = window.picture(PaneId::Live).rgb.clone();
    window.get_by_label("Second prompt").focus();
    window.run();
    window.type_text("red fox");
    let to_end = |window: &mut Window, slider: &str, key| {
        window.get_by_role_and_label(Access::Slider, slider).focus();
        window.run();
        for _ in 0..200 {
            window.key_press(key);
        }
        window.settle();
        window.picture(PaneId::Live).clone()
    };
    let end = to_end(&mut window, "Toward the second prompt", Key::ArrowRight);
    assert_eq!(end.settings.blend.prompt.as_ref().map(|toward| toward.by), Some(1.0));
    let seed_end = to_end(&mut window, "Toward the second seed", Key::ArrowRight);
    to_end(&mut window, "Toward the second prompt", Key::ArrowLeft);
    let start = to_end(&mut window, "Toward the second seed", Key::ArrowLeft);
    assert_eq!(start.rgb, from, "at the beginning of both ways nothing is blended");
    assert!(start.settings.blend.is_none());

    let plain = |prompt: &str, seed: u64| {
        let mut other = Window::ready(student());
        other.type_text(prompt);
        for _ in 0..seed {
            other.key_press_modifiers(Modifiers::COMMAND, Key::CloseBracket);
        }
        other.settle();
        assert_eq!(other.picture(PaneId::Live).settings.seed, seed);
        other.picture(PaneId::Live).rgb.clone()
    };
    assert_eq!(end.rgb, plain("red fox", 0));
    assert_eq!(seed_end.rgb, plain("red fox", 1));
}

fn the_path_is_scrubbed_with_the_arrows() {
    let mut window = Window::ready(pair());
    window.type_text("lake");
    window.press("Compare");
    window.settle();
    let last = window.picture(PaneId::Teacher).clone();
    assert_eq!(last.path.len(), 25);
    let mean = last.path.iter().map(|point| f64::from(point.deviation)).sum::<f64>() / 25.0;
    let straightness = last.straightness.expect("25 steps");
    assert_close_case("S is the mean deviation", mean, straightness, Tolerance::of_largest(1e-4));

    let strip = window.get_by_role_and_label(Access::Slider, "Step of the path");
    assert_eq!(strip.accesskit_node().numeric_value(), Some(25.0));
    strip.focus();
    window.run();
    window.key_press(Key::Home);
    window.settle();
    assert!(window.query_by_label_contains("step 1 of 25").is_some());
    assert!(window.query_by_label("Estimate at t = 0.00").is_some());
    let first = window.state().seen(PaneId::Teacher).expect("an estimate").clone();
    assert_ne!(first.rgb, last.rgb);
    let apart = window.state().distance().expect("measured").clone();
    assert_eq!(Some(apart), instaflow::state::distance(window.picture(PaneId::Live), &first), "of what is seen");
    window.key_press(Key::ArrowRight);
    window.run();
    assert!(window.query_by_label_contains("step 2 of 25").is_some());
    window.press("Back to the picture");
    window.settle();
    assert_eq!(window.state().seen(PaneId::Teacher).map(|picture| picture.rgb.clone()), Some(last.rgb));
}

fn few_and_many_steps_of_the_teacher_stand_beside_the_student() {
    let mut window = Window::ready(pair());
    window.type_text("lake");
    window.press("Few steps");
    window.settle();
    for (cell, steps) in instaflow::state::STEPS.into_iter().enumerate() {
        let picture = window.state().batch_picture(cell).expect("drawn");
        assert_eq!((picture.settings.steps, picture.settings.role), (steps, Role::Teacher));
        assert_eq!(picture.settings.seed, window.picture(PaneId::Live).settings.seed);
    }
    assert!(window.query_by_label("Teacher, 8 steps").is_some());
    assert!(window.query_by_label("Live picture").is_some());
}

fn a_window_that_is_closed_at_any_moment_comes_back_as_it_was() {
    let mut window = Window::ready(pair());
    window.type_text("lake at night");
    window.press("New seed");
    window.press("Compare");
    window.press("Split");
    window.key_press(Key::F7);
    window.get_by_label("Teacher negative prompt").focus();
    window.run();
    window.type_text("boats");
    // In the middle of drawing, a moment after the last key.
    let before = window.state().controls().clone();
    let window = window.reopen();
    assert_eq!(*window.state().controls(), before);
    assert_eq!(before.recipe.negative_prompt, "boats");
    let teacher = window.picture(PaneId::Teacher).settings.clone();
    assert_eq!(
        (teacher.prompt.as_str(), teacher.seed),
        ("lake at night", before.recipe.seed),
        "the same models, drawing on"
    );
    assert!(!window.ctx.style_of(window.ctx.theme()).visuals.dark_mode, "the theme, too");

    let folder = window.close();
    std::fs::write(folder.path().join("window.json"), "{ not json").expect("a folder that can be written");
    let window = Window::in_folder(student(), folder);
    assert!(window.errors()[0].contains("window.json.unreadable"), "{:?}", window.errors());
    assert_eq!(window.state().controls().recipe.prompt, "");
}

fn the_way_between_two_prompts_becomes_an_animation() {
    let mut window = Window::ready(student());
    assert!(window.get_by_label("Export animation…").accesskit_node().is_disabled(), "there is no way yet");
    window.type_text("boat");
    window.get_by_label("Second prompt").focus();
    window.run();
    window.type_text("red fox");
    let path = window.folder().join("way.png");
    window.will_answer(Answer::Path(path.clone()));
    window.press("Export animation…");
    window.wait("the animation", |_| path.exists());

    let file = std::io::BufReader::new(std::fs::File::open(&path).expect("written"));
    let mut reader = ::png::Decoder::new(file).read_info().expect("a PNG");
    let frames = reader.info().animation_control().expect("an animation").num_frames;
    assert_eq!(frames, 46, "24 there, and 22 back");
    let mut decoded = Vec::new();
    for _ in 0..frames {
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("a whole frame");
        decoded.push(pixels);
    }
    assert_eq!(decoded[1], decoded[45], "back along the same way");
    assert_ne!(decoded[0], decoded[23]);
    let restored = png::read_settings(&path).expect("it carries its settings").settings;
    assert_eq!((restored.prompt.as_str(), restored.blend.is_none()), ("boat", true));

    window.will_answer(Answer::Unavailable);
    window.press("Export animation…");
    let output = window.folder().join("output");
    window.wait("the animation in the output folder", |_| output.exists());
    window.settle();
    assert!(window.errors().is_empty(), "{:?}", window.errors());
}

fn a_stopped_animation_leaves_no_file() {
    let mut window = Window::ready(student());
    window.get_by_label("Second prompt").focus();
    window.run();
    window.type_text("red fox");
    window.settle();
    let path = window.folder().join("way.png");
    window.will_answer(Answer::Path(path.clone()));
    window.press("Export animation…");
    window.see("Animation, ");
    window.key_press(Key::Escape);
    window.settle();
    assert!(window.query_by_label_contains("animation was stopped").is_some());
    assert!(!path.exists());
}

fn the_comparison_is_saved_as_one_labelled_picture() {
    let mut window = Window::ready(pair());
    window.type_text("lake at night");
    window.press("Compare");
    window.settle();
    let path = window.folder().join("both.png");
    window.will_answer(Answer::Path(path.clone()));
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::B);
    window.wait("the picture", |_| path.exists());
    let saved = image::open(&path).expect("a PNG").into_rgb8();
    let (student, teacher) = (window.picture(PaneId::Live), window.picture(PaneId::Teacher));
    let factor = 480_u32.div_ceil(student.width);
    assert!(saved.width() > 3 * factor * student.width && saved.height() > factor * student.height);
    assert_eq!(png::read_settings(&path).expect("it carries its settings").settings, teacher.settings);
    // Words stand above the pictures: not all is ground there.
    let ground = saved.get_pixel(0, 0);
    let inked = saved.enumerate_pixels().filter(|(_, y, pixel)| *y < 60 && *pixel != ground).count();
    assert!(inked > 200, "{inked} pixels of the title");
}

fn settings_are_explained_and_can_be_reset() {
    let mut window = Window::ready(student());
    window.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    window.run();
    assert!(window.query_by_label_contains("AutoencoderTiny: in the model").is_some());
    window.press("f16");
    window.settle();
    let errors = window.errors();
    let refused = matches!(&errors[..], [error] if error.contains("choose f32 or bf16"));
    // A CPU does not compute in f16, a GPU does.
    assert!(refused || (errors.is_empty() && window.query_by_label_contains(", f16").is_some()), "{errors:?}");
    window.press("Appearance");
    assert!(window.query_by_label("Reset theme").is_none(), "nothing to reset yet");
    window.press("Light");
    assert_eq!(window.state().controls().theme, Theme::Light);
    assert!(window.query_by_label("Reset theme").is_some());
    window.press("Files");
    window.press("Write settings into PNGs");
    assert!(!window.state().controls().metadata);
    window.press("Reset metadata");
    assert!(window.state().controls().metadata);
    let chosen = window.folder().join("elsewhere");
    window.will_answer(Answer::Path(chosen.clone()));
    window.press("Choose…");
    window.wait("the folder", |app| app.controls().output.is_some());
    window.press("Reset all settings");
    window.settle();
    assert_eq!(*window.state().controls(), Controls::default());
    window.press("Close");
    window.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S);
    let output = window.folder().join("output");
    window.wait("the quick save", |_| output.exists());
    assert!(!chosen.exists(), "the default folder holds again");
}

fn a_narrow_window_folds_the_side_until_it_is_asked_for() {
    let mut window = Window::ready(student());
    assert!(window.query_by_label("New seed").is_some());
    window.set_size(egui::vec2(700.0, 600.0));
    window.run();
    assert!(window.query_by_label("New seed").is_none(), "folded");
    assert!(window.query_by_label("Quick save").is_none(), "left to the menu");
    window.key_press_modifiers(Modifiers::COMMAND, Key::B);
    window.run();
    assert!(window.query_by_label("New seed").is_some());
    window.set_size(egui::vec2(1180.0, 760.0));
    window.run();
    assert!(window.query_by_label("New seed").is_some());
}

fn a_new_window_takes_the_theme_of_the_system() {
    let window = Window::ready(student());
    assert_eq!(window.state().controls().theme, Theme::System);
    assert_eq!(window.ctx.theme(), crate::common::window::theme());
}

in_both_themes!(
    a_new_window_takes_the_theme_of_the_system,
    the_prompt_has_the_focus_and_every_key_draws,
    a_long_prompt_goes_on_and_what_has_no_effect_is_said,
    with_live_off_enter_draws,
    the_dice_changes_the_picture_and_the_lock_keeps_it,
    comparing_draws_the_teacher_from_the_same_noise,
    without_a_teacher_comparing_is_off_and_so_are_its_settings,
    a_saved_picture_brings_its_settings_back_after_a_question,
    an_empty_prompt_is_restored_into_without_a_question,
    nothing_is_overwritten_unasked_and_quick_save_never_asks,
    a_stopped_picture_is_said_to_be_one,
    a_wrong_folder_is_a_message_that_stays_until_dismissed,
    a_folder_that_does_not_open_gives_way_to_pocket_and_is_not_tried_again,
    a_folder_opened_as_teacher_makes_a_pair,
    a_desktop_without_dialogs_is_told_apart_from_a_cancelled_one,
    a_file_that_is_no_picture_is_refused_with_a_sentence,
    menus_and_shortcut_list_name_every_command,
    the_four_ways_to_compare_show_one_pair_and_its_distance,
    the_palette_finds_a_command_by_a_few_letters_and_tells_why_it_cannot,
    variations_are_drawn_live_and_a_click_takes_one_over,
    near_variations_lie_on_the_way_to_other_seeds,
    the_ends_of_both_ways_are_the_pictures_of_their_own_prompt_and_seed,
    the_path_is_scrubbed_with_the_arrows,
    few_and_many_steps_of_the_teacher_stand_beside_the_student,
    a_window_that_is_closed_at_any_moment_comes_back_as_it_was,
    the_way_between_two_prompts_becomes_an_animation,
    a_stopped_animation_leaves_no_file,
    the_comparison_is_saved_as_one_labelled_picture,
    settings_are_explained_and_can_be_reset,
    a_narrow_window_folds_the_side_until_it_is_asked_for,
);
