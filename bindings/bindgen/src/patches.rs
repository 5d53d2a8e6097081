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

/// K1: an `Error` that foreign code throws is not an `Exception`: without this it is printed, and the call reads as a success.
/// What was thrown crosses without its text, which may be about a secret. K2: what an exception says of itself. K3: a coroutine
/// that is cancelled when its result is there already drops that, and what it holds is never freed.
pub(crate) const KOTLIN: &[Patch] = &[
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
    Patch {
        name: "K3",
        times: 1,
        from: "            uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) })\n        )\n    } finally {\n",
        to: "            uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) })\n        )\n    } catch (e: kotlin.coroutines.cancellation.CancellationException) {\n        // The result may be there already, and nobody else would free what it holds.\n        try {\n            Disposable.destroy(\n                liftFunc(uniffiRustCallWithError(errorHandler, { status -> completeFunc(rustFuture, status) }))\n            )\n        } catch (_: kotlin.Throwable) {\n        }\n        throw e\n    } finally {\n",
    },
];

const TEXT: &str = "get() = `details`.toString()";

/// S1 and S2 come with the Swift layer.
pub(crate) const SWIFT: &[Patch] = &[];

/// The text with each patch applied, or which of them does not fit any more.
pub(crate) fn apply(text: &str, patches: &[Patch]) -> Result<String, String> {
    let mut text = text.to_owned();
    for Patch { name, times, from, to } in patches {
        let found = text.matches(from).count();
        if found != *times {
            return Err(format!(
                "patch {name}: the piece that it replaces is there {found} times, not {times}; UniFFI's output has changed"
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
