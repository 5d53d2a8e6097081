//! Where the generated code is changed, and why. docs/bindings.md names them as here.

/// A piece of the generated code and what takes its place.
pub(crate) struct Patch {
    /// Its name, as the tests of both languages have it.
    pub(crate) name: &'static str,
    /// How often the piece has to be there.
    pub(crate) times: usize,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// What is generated for `directauth-ffi`.
pub(crate) const KOTLIN: &[&[Patch]] = &[KOTLIN_RUNTIME, KOTLIN_API];
pub(crate) const SWIFT: &[&[Patch]] = &[SWIFT_API, SWIFT_RUNTIME];
/// What is generated for `directauth-ffi-test`: it has the same runtime.
pub(crate) const KOTLIN_TEST: &[&[Patch]] = &[KOTLIN_RUNTIME];
pub(crate) const SWIFT_TEST: &[&[Patch]] = &[SWIFT_TEST_API, SWIFT_RUNTIME];

/// K1: an `Error` that foreign code throws is not an `Exception`: without this it is printed, and the call reads as a success.
/// What was thrown crosses without its text, which may be about a secret. K3: a coroutine
/// that is cancelled when its result is there already drops that, and what it holds is never freed.
const KOTLIN_RUNTIME: &[Patch] = &[
    Patch {
        name: "K1",
        times: 1,
        from: "    } catch(e: kotlin.Exception) {\n        val err = try { e.stackTraceToString() } catch(_: Throwable) { \"\" }\n",
        to: "    } catch(e: kotlin.Throwable) {\n        val err = \"\"\n",
    },
    Patch {
        name: "K1, where an error is declared",
        times: 1,
        from: "    } catch(e: kotlin.Exception) {\n        if (e is E) {\n",
        to: "    } catch(e: kotlin.Throwable) {\n        if (e is E) {\n",
    },
    Patch {
        name: "K1, its text",
        times: 1,
        from: "            val err = try { e.stackTraceToString() } catch(_: Throwable) { \"\" }\n",
        to: "            val err = \"\"\n",
    },
    Patch {
        name: "K3",
        times: 1,
        from: "            uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) })\n        )\n    } finally {\n",
        to: "            uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) })\n        )\n    } catch (e: kotlin.coroutines.cancellation.CancellationException) {\n        // The result may be there already, and nobody else would free what it holds.\n        try {\n            Disposable.destroy(\n                liftFunc(uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) }))\n            )\n        } catch (_: kotlin.Throwable) {\n        }\n        throw e\n    } finally {\n",
    },
];

/// K2: what an exception says of itself.
const KOTLIN_API: &[Patch] = &[
    Patch { name: "K2", times: 7, from: "get() = \"details=${ `details` }\"", to: TEXT },
    Patch { name: "K2, code", times: 1, from: "get() = \"code=${ `code` }, details=${ `details` }\"", to: TEXT },
    Patch {
        name: "K2, retry at",
        times: 1,
        from: "get() = \"retryAt=${ `retryAt` }, details=${ `details` }\"",
        to: TEXT,
    },
    Patch { name: "K2, reason", times: 5, from: "get() = \"reason=${ `reason` }, details=${ `details` }\"", to: TEXT },
    Patch {
        name: "K2, network",
        times: 1,
        from: "get() = \"problem=${ `problem` }, maybeSent=${ `maybeSent` }, details=${ `details` }\"",
        to: TEXT,
    },
    Patch { name: "K2, what", times: 3, from: "get() = \"what=${ `what` }, details=${ `details` }\"", to: TEXT },
    Patch { name: "K2, check", times: 1, from: "get() = \"check=${ `check` }, details=${ `details` }\"", to: TEXT },
    Patch {
        name: "K2, passkey",
        times: 1,
        from: "get() = \"problem=${ `problem` }, details=${ `details` }\"",
        to: TEXT,
    },
    Patch {
        name: "K2, server",
        times: 1,
        from: "get() = \"status=${ `status` }, code=${ `code` }, details=${ `details` }\"",
        to: TEXT,
    },
];

const TEXT: &str = "get() = `details`.toString()";

/// S1 for each case: by the number of enums that have a case of that name, one where it is declared and one where it is used, twice in
/// each; then the other patches.
macro_rules! swift {
    (cases { $($enums:literal: $($from:literal => $to:literal),*;)* } $($patch:expr),* $(,)?) => {
        &[
            $($(
                Patch {
                    name: concat!("S1, ", $from, " declared"),
                    times: $enums,
                    from: concat!("    case ", $from),
                    to: concat!("    case ", $to),
                },
                Patch {
                    name: concat!("S1, ", $from, " used"),
                    times: 2 * $enums,
                    from: concat!(" .", $from),
                    to: concat!(" .", $to),
                },
            )*)*
            $($patch),*
        ]
    };
}

/// The part of S2 where a call is made whose result is of this kind, in this library.
macro_rules! cancel {
    ($times:literal, $library:literal, $kind:literal) => {
        Patch {
            name: concat!("S2, ", $kind),
            times: $times,
            from: concat!("pollFunc: ffi_", $library, "_rust_future_poll_", $kind, ",\n"),
            to: concat!(
                "pollFunc: ffi_",
                $library,
                "_rust_future_poll_",
                $kind,
                ",\n            cancelFunc: ffi_",
                $library,
                "_rust_future_cancel_",
                $kind,
                ",\n"
            ),
        }
    };
}

/// S1: the cases of an error begin with a small letter, as those of every other enum. S2, where calls are made.
const SWIFT_API: &[Patch] = swift! {
    cases {
        1: "Rejected" => "rejected", "Declined" => "declined", "NotAllowed" => "notAllowed", "Expired" => "expired",
           "TooManyAttempts" => "tooManyAttempts", "RateLimited" => "rateLimited",
           "BrowserRequired" => "browserRequired", "ReauthRequired" => "reauthRequired",
           "SessionEnded" => "sessionEnded", "StorageUnavailable" => "storageUnavailable",
           "KeyUnavailable" => "keyUnavailable", "Network" => "network", "InvalidResponse" => "invalidResponse",
           "TokenRejected" => "tokenRejected", "Configuration" => "configuration", "Passkey" => "passkey",
           "Cancelled" => "cancelled", "Busy" => "busy", "Server" => "server", "Internal" => "`internal`",
           "Missing" => "missing", "Destroyed" => "destroyed", "TimedOut" => "timedOut", "Foreign" => "foreign",
           "Corrupt" => "corrupt", "KeyMissing" => "keyMissing", "KeyDestroyed" => "keyDestroyed";
        2: "Unsupported" => "unsupported", "Locked" => "locked", "NeedsUser" => "needsUser",
           "UserCancelled" => "userCancelled", "Transient" => "transient";
        3: "Failed" => "failed";
    }
    cancel!(1, "directauth_ffi", "i32"),
    cancel!(38, "directauth_ffi", "rust_buffer"),
    cancel!(4, "directauth_ffi", "u64"),
    cancel!(2, "directauth_ffi", "void"),
};

/// The same for the test build. T1: it uses what is generated for `directauth-ffi`, which is a module of its own.
const SWIFT_TEST_API: &[Patch] = swift! {
    cases {
        1: "NoEmulator" => "noEmulator", "Stuck" => "stuck";
    }
    cancel!(1, "directauth_ffi_test", "u64"),
    cancel!(1, "directauth_ffi_test", "void"),
    Patch {
        name: "T1",
        times: 1,
        from: "#if canImport(DirectAuthTestFFI)\nimport DirectAuthTestFFI\n#endif\n",
        to: "import DirectAuthCore\nimport DirectAuthTestFFI\n",
    },
};

/// S2: without this a cancelled `Task` waits on and Rust hears nothing of it. The future is freed only when the handler of the
/// cancellation has ended and cannot run again. A result that is there already is lifted as ever, so that Swift frees what it holds.
/// S3: as K1, what was thrown undeclared crosses without its text.
const SWIFT_RUNTIME: &[Patch] = &[
    Patch {
        name: "S2, handed over",
        times: 1,
        from: "    pollFunc: (UInt64, @escaping UniffiRustFutureContinuationCallback, UInt64) -> (),\n",
        to: "    pollFunc: (UInt64, @escaping UniffiRustFutureContinuationCallback, UInt64) -> (),\n    cancelFunc: @Sendable (UInt64) -> (),\n",
    },
    Patch {
        name: "S2, before",
        times: 1,
        from: "    var pollResult: Int8;\n    repeat {\n",
        to: "    // It returns when the handler has run or can run no more: only then is the future completed, and freed above.\n    await withTaskCancellationHandler {\n    var pollResult: Int8\n    repeat {\n",
    },
    Patch {
        name: "S2, after",
        times: 1,
        from: "    } while pollResult != UNIFFI_RUST_FUTURE_POLL_READY\n",
        to: "    } while pollResult != UNIFFI_RUST_FUTURE_POLL_READY\n    } onCancel: {\n        cancelFunc(rustFuture)\n    }\n",
    },
    Patch {
        name: "S3",
        times: 2,
        from: "callStatus.pointee.errorBuf = FfiConverterString.lower(String(describing: error))",
        to: "callStatus.pointee.errorBuf = FfiConverterString.lower(\"\")",
    },
    Patch {
        name: "S3, unused then",
        times: 1,
        from: "    } catch let error {\n        callStatus.pointee.code = CALL_UNEXPECTED_ERROR\n",
        to: "    } catch {\n        callStatus.pointee.code = CALL_UNEXPECTED_ERROR\n",
    },
    Patch {
        name: "S2, its error",
        times: 1,
        from: "            fatalError(\"Cancellation not supported yet\")\n",
        to: "            throw CancellationError()\n",
    },
];

/// The text with each patch applied, or which of them does not fit any more.
pub(crate) fn apply(text: &str, patches: &[Patch]) -> Result<String, String> {
    let mut text = text.to_owned();
    for Patch { name, times, from, to } in patches {
        let found = text.matches(from).count();
        if found != *times {
            return Err(format!(
                "patch {name}: the piece that it replaces is there {found} times, not {times}; UniFFI's output or the exported API has changed"
            ));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_is_not_there_as_often_is_said() {
        let patch = |times| Patch { name: "K9", times, from: "b", to: "c" };
        assert_eq!(apply("abab", &[patch(2)]).as_deref(), Ok("acac"));
        for times in [0, 1, 3] {
            let problem = apply("abab", &[patch(times)]).expect_err("it is there twice");
            assert!(problem.contains("K9") && problem.contains("2 times"), "{problem}");
        }
    }
}
