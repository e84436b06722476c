//! Every action of the window, once: its label, its tooltip, its shortcut and its place in the menus.

use egui::{Key, KeyboardShortcut, Modifiers};

/// Something a person can ask the window to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Open a model folder or a pair.
    Open,
    /// Open a model folder as the teacher.
    OpenTeacher,
    /// Save the picture where the person says.
    Save,
    /// Save the picture into the output folder.
    QuickSave,
    /// Put the picture on the clipboard.
    Copy,
    /// Close the window.
    Quit,
    /// Draw now.
    Draw,
    /// Stop whatever runs.
    Stop,
    /// Follow the keyboard, or wait for [`Command::Draw`].
    Live,
    /// Show the teacher beside the student.
    Compare,
    /// Take a new seed.
    Dice,
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
    /// Show or hide the settings at the side.
    Settings,
    /// Follow the system's theme.
    ThemeSystem,
    /// Light theme.
    ThemeLight,
    /// Dark theme.
    ThemeDark,
    /// List all shortcuts.
    Shortcuts,
}

/// The menus, in order; `None` is a separating line.
pub const MENUS: [(&str, &[Option<Command>]); 4] = [
    (
        "File",
        &[
            Some(Command::Open),
            Some(Command::OpenTeacher),
            None,
            Some(Command::Save),
            Some(Command::QuickSave),
            Some(Command::Copy),
            None,
            Some(Command::Quit),
        ],
    ),
    (
        "Draw",
        &[
            Some(Command::Draw),
            Some(Command::Stop),
            Some(Command::Live),
            Some(Command::Compare),
            None,
            Some(Command::Dice),
            Some(Command::LockSeed),
        ],
    ),
    (
        "View",
        &[
            Some(Command::Fit),
            Some(Command::ActualSize),
            Some(Command::ZoomIn),
            Some(Command::ZoomOut),
            None,
            Some(Command::FocusPrompt),
            Some(Command::FocusPicture),
            Some(Command::Settings),
            None,
            Some(Command::ThemeSystem),
            Some(Command::ThemeLight),
            Some(Command::ThemeDark),
        ],
    ),
    ("Help", &[Some(Command::Shortcuts)]),
];

impl Command {
    /// What menus and screen readers call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "Open model or pair…",
            Self::OpenTeacher => "Open as teacher…",
            Self::Save => "Save picture…",
            Self::QuickSave => "Quick save",
            Self::Copy => "Copy picture",
            Self::Quit => "Quit",
            Self::Draw => "Draw now",
            Self::Stop => "Stop",
            Self::Live => "Live",
            Self::Compare => "Compare",
            Self::Dice => "New seed",
            Self::LockSeed => "Lock seed",
            Self::FocusPrompt => "Go to the prompt",
            Self::FocusPicture => "Go to the picture",
            Self::Fit => "Fit picture",
            Self::ActualSize => "Actual pixels",
            Self::ZoomIn => "Zoom in",
            Self::ZoomOut => "Zoom out",
            Self::Settings => "Settings",
            Self::ThemeSystem => "System theme",
            Self::ThemeLight => "Light theme",
            Self::ThemeDark => "Dark theme",
            Self::Shortcuts => "Keyboard shortcuts",
        }
    }

    /// One sentence more than the label.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Open => "Open a model folder in Diffusers layout, or a folder with student/ and teacher/.",
            Self::OpenTeacher => "Open a model folder as the teacher beside the student that is open.",
            Self::Save => "Save the chosen picture as a PNG that carries its settings.",
            Self::QuickSave => "Save at once to the output folder, never over an existing file.",
            Self::Copy => "Copy the chosen picture to the clipboard.",
            Self::Quit => "Close InstaFlow.",
            Self::Draw => "Draw the prompt now; with an unlocked seed, from a new seed.",
            Self::Stop => "Stop whatever is drawing.",
            Self::Live => "Draw on every keystroke. Switched off, Enter draws.",
            Self::Compare => "Let the teacher draw the same prompt from the same noise beside the student.",
            Self::Dice => "Take a new random seed.",
            Self::LockSeed => "Keep the seed; unlocked, every 'Draw now' takes a new one.",
            Self::FocusPrompt => "Put the keyboard into the prompt field.",
            Self::FocusPicture => "Put the keyboard on the picture: arrows move it, + and − zoom, 0 fits it.",
            Self::Fit => "Show the whole picture. Double-click does the same.",
            Self::ActualSize => "Show one pixel of the picture on one pixel of the screen.",
            Self::ZoomIn => "Magnify the picture. The mouse wheel does it at the pointer.",
            Self::ZoomOut => "Shrink the picture.",
            Self::Settings => "Show or hide the settings at the side.",
            Self::ThemeSystem => "Light or dark as the system says.",
            Self::ThemeLight => "Dark text on light ground.",
            Self::ThemeDark => "Light text on dark ground.",
            Self::Shortcuts => "List every command with its keys.",
        }
    }

    /// Its keys. [`Command::Copy`] is not listed here: Ctrl+C belongs to the text field while that has the focus, and
    /// reaches the window as [`egui::Event::Copy`].
    pub fn shortcut(self) -> Option<KeyboardShortcut> {
        let control = Modifiers::COMMAND;
        let both = Modifiers::COMMAND.plus(Modifiers::SHIFT);
        let (modifiers, key) = match self {
            Self::Open => (control, Key::O),
            Self::OpenTeacher => (both, Key::O),
            Self::Save => (control, Key::S),
            Self::QuickSave => (both, Key::S),
            Self::Copy => return None,
            Self::Quit => (control, Key::Q),
            Self::Draw => (control, Key::Enter),
            Self::Stop => (Modifiers::NONE, Key::Escape),
            Self::Live => (control, Key::L),
            Self::Compare => (control, Key::T),
            Self::Dice => (control, Key::R),
            Self::LockSeed => (both, Key::R),
            Self::FocusPrompt => (control, Key::P),
            Self::FocusPicture => (both, Key::P),
            Self::Fit => (control, Key::Num1),
            Self::ActualSize => (control, Key::Num2),
            Self::ZoomIn => (control, Key::PageUp),
            Self::ZoomOut => (control, Key::PageDown),
            Self::Settings => (control, Key::Comma),
            Self::ThemeSystem => (Modifiers::NONE, Key::F6),
            Self::ThemeLight => (Modifiers::NONE, Key::F7),
            Self::ThemeDark => (Modifiers::NONE, Key::F8),
            Self::Shortcuts => (Modifiers::NONE, Key::F1),
        };
        Some(KeyboardShortcut::new(modifiers, key))
    }

    /// Its keys as menus show them.
    pub fn keys(self, ctx: &egui::Context) -> String {
        match self.shortcut() {
            Some(shortcut) => ctx.format_shortcut(&shortcut),
            None => ctx.format_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, Key::C)),
        }
    }

    /// Label, keys and sentence, for a button's tooltip.
    pub fn hint(self, ctx: &egui::Context) -> String {
        format!("{} ({})", self.tooltip(), self.keys(ctx))
    }

    /// The command whose keys were just pressed; the keys are used up.
    pub fn pressed(ctx: &egui::Context) -> Option<Self> {
        let mut commands: Vec<_> = all().filter_map(|command| Some((command, command.shortcut()?))).collect();
        // egui lets Ctrl+S match Ctrl+Shift+S too: the longer one asks first.
        commands.sort_by_key(|(_, shortcut)| !shortcut.modifiers.shift);
        ctx.input_mut(|input| {
            let found = commands.iter().find(|(_, shortcut)| input.consume_shortcut(shortcut));
            found.map(|(command, _)| *command)
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
