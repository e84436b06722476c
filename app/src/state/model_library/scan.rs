//! The search for models on the disk, on a thread of its own.

use instaflow_engine::Cancel;
use instaflow_engine::model_library::{self, Scan, ScanEvent};

use super::{App, Found, News};

impl App {
    /// Looks at the folders of other programs, the hub's cache, and the person's own.
    pub(super) fn scan(&mut self) {
        let library = &mut self.model_library;
        library.found.cancel.cancel();
        let cancel = Cancel::default();
        (library.found.cancel, library.found.began, library.found.progress) = (cancel.clone(), true, Some((0, 0)));
        let (places, report) = (library.sources.places.clone(), library.report.clone());
        let folders = self.controls.model_folders.clone();
        std::thread::spawn(move || {
            let (mut places, mut warnings) = places();
            for folder in folders {
                if !folder.is_dir() {
                    warnings.push(format!("{} is no longer there", folder.display()));
                    continue;
                }
                let (mut found, mut told) = model_library::places_in(&folder);
                places.append(&mut found);
                warnings.append(&mut told);
            }
            let mut on = |event: ScanEvent<'_>| {
                if let ScanEvent::Read { done, total, .. } = event {
                    report.send(News::Scanning { done, total });
                }
            };
            // It is cancelled by the next one, which has its own end.
            if let Ok(mut scan) = model_library::scan(&places, &mut on, &cancel) {
                warnings.append(&mut scan.warnings);
                report.send(News::Scanned(Box::new(Scan { warnings, ..scan })));
            }
        });
    }
}

impl Found {
    /// Looks for what was typed.
    pub(super) fn search_again(&mut self) {
        let models = self.scan.models.iter().enumerate();
        self.shown = models.filter(|(_, model)| model.matches(&self.search)).map(|(index, _)| index).collect();
    }
}
