//! Generates the Kotlin and Swift code of `directauth-ffi` from the library that was built, and mends it.
//!
//! ```text
//! directauth-bindgen [--test-build] LIBRARY CONFIG KOTLIN_FOLDER SWIFT_FOLDER
//! ```
//!
//! With `--test-build` it is the code of what `directauth-ffi-test` exports beside that.
//!
//! The generator is UniFFI's own. Where its output breaks a promise of DirectAuth, `patches` replaces a piece of it; each
//! replacement says how often its piece has to be there, so that a new version of UniFFI fails here and not at an app.

use std::process::ExitCode;

use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

mod patches;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test_build = arguments.first().is_some_and(|first| first == "--test-build");
    if is_test_build {
        arguments.remove(0);
    }
    let [library, config, kotlin, swift] = arguments.as_slice() else {
        return refuse("usage: directauth-bindgen [--test-build] LIBRARY CONFIG KOTLIN_FOLDER SWIFT_FOLDER");
    };
    // The crate and, by `uniffi.toml`, where its code is.
    let (crate_name, outputs) = if is_test_build {
        let kotlin =
            (TargetLanguage::Kotlin, kotlin, "org/directauth/ffi/test/directauth_test.kt", patches::KOTLIN_TEST);
        let swift = (TargetLanguage::Swift, swift, "DirectAuthTestCore.swift", patches::SWIFT_TEST);
        ("directauth_ffi_test", [kotlin, swift])
    } else {
        let kotlin = (TargetLanguage::Kotlin, kotlin, "org/directauth/ffi/directauth.kt", patches::KOTLIN);
        let swift = (TargetLanguage::Swift, swift, "DirectAuthCore.swift", patches::SWIFT);
        ("directauth_ffi", [kotlin, swift])
    };
    for (language, folder, file, patches) in outputs {
        let options = GenerateOptions {
            languages: vec![language],
            source: library.into(),
            out_dir: folder.into(),
            config_override: Some(config.into()),
            format: false,
            crate_filter: Some(crate_name.to_owned()),
            metadata_no_deps: false,
        };
        if let Err(error) = generate(options) {
            return refuse(&format!("UniFFI: {error:?}"));
        }
        let path = std::path::Path::new(folder).join(file);
        let mended = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))
            .and_then(|text| patches.iter().try_fold(text, |text, patches| patches::apply(&text, patches)))
            .and_then(|text| std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display())));
        if let Err(problem) = mended {
            return refuse(&problem);
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a command's way to say what is wrong")]
fn refuse(problem: &str) -> ExitCode {
    eprintln!("directauth-bindgen: {problem}");
    ExitCode::FAILURE
}
