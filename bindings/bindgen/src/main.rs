//! Generates the Kotlin and Swift code of `directauth-ffi` from the library that was built, and mends it.
//!
//! ```text
//! directauth-bindgen LIBRARY CONFIG KOTLIN_FOLDER SWIFT_FOLDER
//! ```
//!
//! The generator is UniFFI's own. Where its output breaks a promise of DirectAuth, `patches` replaces a piece of it; each
//! replacement says how often its piece has to be there, so that a new version of UniFFI fails here and not at an app.

use std::process::ExitCode;

use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

mod patches;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, config, kotlin, swift] = arguments.as_slice() else {
        return refuse("usage: directauth-bindgen LIBRARY CONFIG KOTLIN_FOLDER SWIFT_FOLDER");
    };
    let outputs = [
        (TargetLanguage::Kotlin, kotlin, KOTLIN, patches::KOTLIN),
        (TargetLanguage::Swift, swift, SWIFT, patches::SWIFT),
    ];
    for (language, folder, file, patches) in outputs {
        let options = GenerateOptions {
            languages: vec![language],
            source: library.into(),
            out_dir: folder.into(),
            config_override: Some(config.into()),
            format: false,
            crate_filter: None,
            metadata_no_deps: false,
        };
        if let Err(error) = generate(options) {
            return refuse(&format!("UniFFI: {error:?}"));
        }
        let path = std::path::Path::new(folder).join(file);
        let mended = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))
            .and_then(|text| patches::apply(&text, patches))
            .and_then(|text| std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display())));
        if let Err(problem) = mended {
            return refuse(&problem);
        }
    }
    ExitCode::SUCCESS
}

/// Where the generated code is, by `uniffi.toml`.
const KOTLIN: &str = "org/directauth/ffi/directauth.kt";
const SWIFT: &str = "DirectAuthCore.swift";

#[expect(clippy::print_stderr, reason = "a command's way to say what is wrong")]
fn refuse(problem: &str) -> ExitCode {
    eprintln!("directauth-bindgen: {problem}");
    ExitCode::FAILURE
}
