//! Every action of the window, once: its label, its tooltip, its shortcut and its place in the menus.

use egui::{Key, KeyboardShortcut, Modifiers};

/// Something a person can ask the window to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Open a model folder or a pair.
    Open,
    /// Open the pair inside the program.
    OpenPocket,
    /// Open a model folder as the teacher.
    OpenTeacher,
    /// Open a model folder as a third model to compare with.
    OpenBaseline,
    /// Add a LoRA to the stack.
    AddLora,
    /// Save the picture where the person says.
    Save,
    /// Save the picture into the output folder.
    QuickSave,
    /// Put the picture on the clipboard.
    Copy,
    /// Keep the picture.
    Keep,
    /// Bring back what was deleted.
    Undelete,
    /// Look for a kept picture.
    FindKept,
    /// Fold the filmstrip or unfold it.
    Filmstrip,
    /// Close the window.
    Quit,
    /// Take back the last change of prompt or settings.
    Undo,
    /// Do again what was taken back.
    Redo,
    /// The prompt drawn before.
    OlderPrompt,
    /// The prompt drawn after, and at last what was typed.
    NewerPrompt,
    /// Forget the prompts drawn before.
    ForgetPrompts,
    /// Complete the half-typed word at the caret.
    CompleteWord,
    /// Show prompts to try.
    Examples,
    /// Show the words that the model knows.
    Words,
    /// Show the models that are here and that can be had.
    Models,
    /// Draw now.
    Draw,
    /// Stop whatever runs.
    Stop,
    /// Follow the keyboard, or wait for [`Command::Draw`].
    Live,
    /// Show the live picture alone.
    Picture,
    /// Show the teacher beside the student.
    Compare,
    /// Show other pictures around the live one.
    Variations,
    /// Show the teacher in few and in many steps.
    Steps,
    /// Compare one beside the other.
    SideBySide,
    /// Compare on two sides of a line.
    Split,
    /// Compare one in the place of the other.
    Blink,
    /// Show where the two differ.
    Difference,
    /// Show the teacher's path.
    Path,
    /// Show the baseline beside student and teacher.
    Baseline,
    /// Save student, teacher and difference as one picture.
    SaveComparison,
    /// Save the way between two prompts or seeds as an animation.
    Animate,
    /// Save it as a folder of numbered pictures.
    SaveFrames,
    /// Take a new seed.
    Dice,
    /// The seed before.
    PreviousSeed,
    /// The seed after.
    NextSeed,
    /// Keep the seed from one drawing to the next.
    LockSeed,
    /// Put the keyboard into the prompt field.
    FocusPrompt,
    /// Put the keyboard on the picture.
    FocusPicture,
    /// Show the whole picture.
    Fit,
    /// One picture pixel on one pixel of the screen.
    ActualSize,
    /// Magnify.
    ZoomIn,
    /// Shrink.
    ZoomOut,
    /// Show or hide the panel at the side.
    SidePanel,
    /// Open the settings.
    Settings,
    /// Find a command by its name.
    Palette,
    /// Follow the system's theme.
    ThemeSystem,
    /// Light theme.
    ThemeLight,
    /// Dark theme.
    ThemeDark,
    /// List all shortcuts.
    Shortcuts,
    /// Show the log.
    Log,
}

/// The text fields that search, by their ids' sources: what is undone in one is its own text, not the prompt.
pub(crate) const SEARCHES: [&str; 2] = ["search kept pictures", "find a word"];

/// The menus, in order; `None` is a separating line.
pub const MENUS: [(&str, &[Option<Command>]); 6] = [
    (
        "File",
        &[
            Some(Command::Models),
            Some(Command::Open),
            Some(Command::OpenPocket),
            Some(Command::OpenTeacher),
            Some(Command::OpenBaseline),
            Some(Command::AddLora),
            None,
            Some(Command::Save),
            Some(Command::QuickSave),
            Some(Command::Copy),
            None,
            Some(Command::Keep),
            Some(Command::FindKept),
            Some(Command::Undelete),
            None,
            Some(Command::SaveComparison),
            Some(Command::Animate),
            Some(Command::SaveFrames),
            None,
            Some(Command::Settings),
            Some(Command::Quit),
        ],
    ),
    (
        "Edit",
        &[
            Some(Command::Undo),
            Some(Command::Redo),
            None,
            Some(Command::OlderPrompt),
            Some(Command::NewerPrompt),
            Some(Command::ForgetPrompts),
            None,
            Some(Command::CompleteWord),
        ],
    ),
    (
        "Draw",
        &[
            Some(Command::Draw),
            Some(Command::Stop),
            Some(Command::Live),
            None,
            Some(Command::Dice),
            Some(Command::PreviousSeed),
            Some(Command::NextSeed),
            Some(Command::LockSeed),
        ],
    ),
    (
        "View",
        &[
            Some(Command::Picture),
            Some(Command::Compare),
            Some(Command::Variations),
            Some(Command::Steps),
            None,
            Some(Command::SideBySide),
            Some(Command::Split),
            Some(Command::Blink),
            Some(Command::Difference),
            Some(Command::Path),
            Some(Command::Baseline),
            None,
            Some(Command::Fit),
            Some(Command::ActualSize),
            Some(Command::ZoomIn),
            Some(Command::ZoomOut),
        ],
    ),
    (
        "Window",
        &[
            Some(Command::FocusPrompt),
            Some(Command::FocusPicture),
            Some(Command::SidePanel),
            Some(Command::Filmstrip),
            None,
            Some(Command::ThemeSystem),
            Some(Command::ThemeLight),
            Some(Command::ThemeDark),
        ],
    ),
    (
        "Help",
        &[
            Some(Command::Examples),
            Some(Command::Words),
            None,
            Some(Command::Palette),
            Some(Command::Shortcuts),
            None,
            Some(Command::Log),
        ],
    ),
];

impl Command {
    /// What menus and screen readers call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "Open model or pair…",
            Self::OpenPocket => "Open Pocket",
            Self::OpenTeacher => "Open as teacher…",
            Self::OpenBaseline => "Open as baseline…",
            Self::AddLora => "Add LoRA…",
            Self::Save => "Save picture…",
            Self::QuickSave => "Quick save",
            Self::Copy => "Copy picture",
            Self::Keep => "Keep picture",
            Self::Undelete => "Undo delete",
            Self::FindKept => "Find a kept picture",
            Self::Filmstrip => "Kept pictures",
            Self::Quit => "Quit",
            Self::Undo => "Undo",
            Self::Redo => "Redo",
            Self::OlderPrompt => "Earlier prompt",
            Self::NewerPrompt => "Later prompt",
            Self::ForgetPrompts => "Forget prompts",
            Self::CompleteWord => "Complete word",
            Self::Examples => "Example prompts",
            Self::Words => "What the model knows",
            Self::Models => "Models…",
            Self::Draw => "Draw now",
            Self::Stop => "Stop",
            Self::Live => "Live",
            Self::Picture => "Picture",
            Self::Compare => "Compare",
            Self::Variations => "Variations",
            Self::Steps => "Few steps",
            Self::SideBySide => "Side by side",
            Self::Split => "Split",
            Self::Blink => "Blink",
            Self::Difference => "Difference",
            Self::Path => "Teacher's path",
            Self::Baseline => "Baseline",
            Self::SaveComparison => "Save comparison…",
            Self::Animate => "Export animation…",
            Self::SaveFrames => "Export frames…",
            Self::Dice => "New seed",
            Self::PreviousSeed => "Previous seed",
            Self::NextSeed => "Next seed",
            Self::LockSeed => "Lock seed",
            Self::FocusPrompt => "Go to the prompt",
            Self::FocusPicture => "Go to the picture",
            Self::Fit => "Fit picture",
            Self::ActualSize => "Actual pixels",
            Self::ZoomIn => "Zoom in",
            Self::ZoomOut => "Zoom out",
            Self::SidePanel => "Side panel",
            Self::Settings => "Settings…",
            Self::Palette => "Find a command…",
            Self::ThemeSystem => "System theme",
            Self::ThemeLight => "Light theme",
            Self::ThemeDark => "Dark theme",
            Self::Shortcuts => "Keyboard shortcuts",
            Self::Log => "Show log…",
        }
    }

    /// One sentence more than the label.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Open => "Open a model folder in Diffusers layout, or a folder with student/ and teacher/.",
            Self::OpenPocket => "Open the pair that is inside InstaFlow, without any other model.",
            Self::OpenTeacher => "Open a model folder as the teacher beside the student that is open.",
            Self::OpenBaseline => "Open a third model to compare with: the base flow, or Stable Diffusion.",
            Self::AddLora => "Add a LoRA, a safetensors file, to the models that are open.",
            Self::Save => "Save the chosen picture as a PNG that carries its settings.",
            Self::QuickSave => "Save at once to the output folder. It never overwrites a file.",
            Self::Copy => "Copy the chosen picture to the clipboard.",
            Self::Keep => "Keep the chosen picture in the filmstrip, with its settings and its latents.",
            Self::Undelete => "Bring back the kept picture that was deleted last.",
            Self::FindKept => "Search the prompts of kept pictures.",
            Self::Filmstrip => "Show or hide the strip of kept pictures.",
            Self::Quit => "Close InstaFlow.",
            Self::Undo => "Undo the last word, or the last change of a setting that affects the picture.",
            Self::Redo => "Redo what was undone. Ctrl+Y does the same.",
            Self::OlderPrompt => "Go back to the prompt that was drawn before. Later prompt brings yours back.",
            Self::NewerPrompt => "Go on to the next prompt, and at last to what you typed.",
            Self::CompleteWord => "Complete the word at the cursor with the first suggestion.",
            Self::Examples => "Show example prompts under the prompt field until you type.",
            Self::Words => "List the words that the model knows; a click adds one to the prompt.",
            Self::Models => "Download models, find those on this computer, and open them.",
            Self::ForgetPrompts => "Clear the list of earlier prompts. The current prompt stays.",
            Self::Draw => "Draw the prompt now. If the seed is not locked, a new one is used.",
            Self::Stop => "Stop whatever is drawing.",
            Self::Live => "Draw on every keystroke. If this is off, Enter draws.",
            Self::Picture => "Show the live picture alone.",
            Self::Compare => "Let the teacher draw the same prompt from the same noise beside the student.",
            Self::Variations => "Draw other seeds beside this one. Click a picture to use its seed.",
            Self::Steps => "Show the teacher in 1, 2, 4, 8 and 25 Euler steps beside the student's single step.",
            Self::SideBySide => "Show the pictures side by side.",
            Self::Split => "Show both pictures on two sides of a line. Drag the line, or move it with the arrow keys.",
            Self::Blink => "Show both pictures in one place. Hold F2 to see the other one.",
            Self::Difference => "Show where student and teacher differ, on a scale of colours.",
            Self::Path => "Show the teacher's estimate of the final picture at every step, and its speed.",
            Self::Baseline => "Let the third model draw the same prompt from the same noise, in a third column.",
            Self::SaveComparison => "Save all compared pictures and their difference as one labelled picture.",
            Self::Animate => "Save the transition between two prompts or two seeds as an animated PNG.",
            Self::SaveFrames => "Save the transition as a folder of numbered PNGs, each with its own settings.",
            Self::Dice => "Take a new random seed.",
            Self::PreviousSeed => "Take the seed before this one.",
            Self::NextSeed => "Take the seed after this one.",
            Self::LockSeed => "Keep the seed. If this is off, every Draw now uses a new one.",
            Self::FocusPrompt => "Move the keyboard focus to the prompt.",
            Self::FocusPicture => "Move the keyboard focus to the picture: arrows move it, + and − zoom, 0 fits it.",
            Self::Fit => "Show the whole picture. Double-click does the same.",
            Self::ActualSize => "Show one pixel of the picture on one pixel of the screen.",
            Self::ZoomIn => "Zoom in. The mouse wheel zooms at the pointer.",
            Self::ZoomOut => "Zoom out.",
            Self::SidePanel => "Show or hide the side panel: seed, size and the other settings of the picture.",
            Self::Settings => "Device, decoder, folders and appearance. Each setting is explained and can be reset.",
            Self::Palette => "Type a few letters of a command's name and press Enter.",
            Self::ThemeSystem => "Light or dark, as the system is.",
            Self::ThemeLight => "Dark text on a light background.",
            Self::ThemeDark => "Light text on a dark background.",
            Self::Shortcuts => "List every command with its keys.",
            Self::Log => "Show what happened: opened models, errors and their causes, times. No prompts.",
        }
    }

    /// Its keys. [`Command::Copy`] is not listed here: Ctrl+C belongs to the text field while that has the focus, and
    /// reaches the window as [`egui::Event::Copy`].
    pub fn shortcut(self) -> Option<KeyboardShortcut> {
        let control = Modifiers::COMMAND;
        let both = Modifiers::COMMAND.plus(Modifiers::SHIFT);
        let (modifiers, key) = match self {
            Self::Open => (control, Key::O),
            Self::OpenPocket => (both, Key::I),
            Self::OpenTeacher => (both, Key::O),
            Self::OpenBaseline => (both, Key::L),
            Self::AddLora => (both, Key::A),
            Self::Save => (control, Key::S),
            Self::QuickSave => (both, Key::S),
            Self::Copy => return None,
            Self::Keep => (control, Key::K),
            Self::Undelete => (both, Key::D),
            Self::FindKept => (control, Key::F),
            Self::Filmstrip => (control, Key::J),
            Self::Quit => (control, Key::Q),
            Self::Undo => (control, Key::Z),
            Self::Redo => (both, Key::Z),
            Self::OlderPrompt => (Modifiers::ALT, Key::ArrowUp),
            Self::NewerPrompt => (Modifiers::ALT, Key::ArrowDown),
            Self::ForgetPrompts => (both, Key::Delete),
            // Cmd+Space is the system's own on macOS.
            Self::CompleteWord if cfg!(target_os = "macos") => (Modifiers::CTRL, Key::Space),
            Self::CompleteWord => (control, Key::Space),
            Self::Examples => (Modifiers::NONE, Key::F4),
            Self::Words => (Modifiers::NONE, Key::F3),
            Self::Models => (control, Key::M),
            Self::Draw => (control, Key::Enter),
            Self::Stop => (Modifiers::NONE, Key::Escape),
            Self::Live => (control, Key::L),
            Self::Picture => (control, Key::D),
            Self::Compare => (control, Key::T),
            Self::Variations => (control, Key::G),
            Self::Steps => (control, Key::E),
            Self::SideBySide => (control, Key::Num3),
            Self::Split => (control, Key::Num4),
            Self::Blink => (control, Key::Num5),
            Self::Difference => (control, Key::Num6),
            Self::Path => (both, Key::T),
            Self::Baseline => (control, Key::Num7),
            Self::SaveComparison => (both, Key::B),
            Self::Animate => (both, Key::E),
            Self::SaveFrames => (both, Key::F),
            Self::Dice => (control, Key::R),
            Self::PreviousSeed => (control, Key::OpenBracket),
            Self::NextSeed => (control, Key::CloseBracket),
            Self::LockSeed => (both, Key::R),
            Self::FocusPrompt => (control, Key::P),
            Self::FocusPicture => (control, Key::I),
            Self::Fit => (control, Key::Num1),
            Self::ActualSize => (control, Key::Num2),
            Self::ZoomIn => (control, Key::PageUp),
            Self::ZoomOut => (control, Key::PageDown),
            Self::SidePanel => (control, Key::B),
            Self::Settings => (control, Key::Comma),
            Self::Palette => (both, Key::P),
            Self::ThemeSystem => (Modifiers::NONE, Key::F6),
            Self::ThemeLight => (Modifiers::NONE, Key::F7),
            Self::ThemeDark => (Modifiers::NONE, Key::F8),
            Self::Shortcuts => (Modifiers::NONE, Key::F1),
            Self::Log => (Modifiers::NONE, Key::F9),
        };
        Some(KeyboardShortcut::new(modifiers, key))
    }

    /// Its keys as menus show them.
    pub fn keys(self, ctx: &egui::Context) -> String {
        let shortcut = self.shortcut().unwrap_or(KeyboardShortcut::new(Modifiers::COMMAND, Key::C));
        let keys = ctx.format_shortcut(&shortcut);
        // egui spells these out where keyboards have a sign; arrows and words stay.
        match shortcut.logical_key {
            key @ (Key::OpenBracket | Key::CloseBracket | Key::Comma) => keys.replace(key.name(), key.symbol_or_name()),
            _ => keys,
        }
    }

    /// Label, keys and sentence, for a button's tooltip.
    pub fn hint(self, ctx: &egui::Context) -> String {
        format!("{} ({})", self.tooltip(), self.keys(ctx))
    }

    /// The commands whose keys were just pressed, several if a frame took long; the keys are used up.
    pub fn pressed(ctx: &egui::Context) -> Vec<Self> {
        let focused = ctx.memory(egui::Memory::focused);
        let elsewhere = focused.is_some_and(|id| SEARCHES.map(egui::Id::unique).contains(&id));
        let is_taken = |command: &Self| elsewhere && matches!(command, Self::Undo | Self::Redo);
        let mut commands: Vec<_> = all()
            .filter(|command| !is_taken(command))
            .filter_map(|command| Some((command, command.shortcut()?)))
            .collect();
        // egui lets Ctrl+S match Ctrl+Shift+S too: the longer one asks first.
        commands.sort_by_key(|(_, shortcut)| !shortcut.modifiers.shift);
        ctx.input_mut(|input| {
            let pressed = commands.iter().filter(|(_, shortcut)| input.consume_shortcut(shortcut));
            let mut pressed: Vec<_> = pressed.map(|(command, _)| *command).collect();
            if !elsewhere && input.consume_key(Modifiers::COMMAND, Key::Y) {
                pressed.push(Self::Redo);
            }
            pressed
        })
    }
}

/// Every command, in the order of the menus.
pub fn all() -> impl Iterator<Item = Command> {
    MENUS.iter().flat_map(|(_, entries)| entries.iter().flatten().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_commands_share_keys_or_a_name() {
        let shortcuts: Vec<_> = all()
            .filter_map(Command::shortcut)
            .map(|s| (s.modifiers.shift, s.modifiers.command, s.logical_key))
            .collect();
        assert_eq!(shortcuts.iter().collect::<HashSet<_>>().len(), shortcuts.len());
        let labels: Vec<_> = all().map(Command::label).collect();
        assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len());
        assert!(all().all(|command| command == Command::Copy || command.shortcut().is_some()));
    }
}
