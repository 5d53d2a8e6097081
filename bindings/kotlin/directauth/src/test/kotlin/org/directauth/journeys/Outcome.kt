package org.directauth.journeys

import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.ChooseFactor
import org.directauth.EnterCode
import org.directauth.PasswordChanged
import org.directauth.ResetPassword
import org.directauth.SignInStep
import org.directauth.SignOutResult
import org.directauth.SignedIn
import org.directauth.UnsupportedStep
import org.directauth.UsePasskey

/** What a call gives. */
sealed interface Outcome {
    val word: String

    class Step(val step: SignInStep) : Outcome {
        override val word get() = step.word
    }

    /** How the session was come by. */
    class Session(override val word: String, val session: AuthSession) : Outcome

    class Token(val token: String) : Outcome {
        override val word get() = "Done"
    }

    class SignedOut(val done: List<SignOutResult>) : Outcome {
        override val word get() = if (done.isEmpty()) "None" else done.joinToString { words(it.server.name) }
    }

    class Value(override val word: String) : Outcome

    class Failure(val error: AuthException) : Outcome {
        override val word get() = error.word
    }

    data object Done : Outcome {
        override val word get() = "Done"
    }
}

val SignInStep.word: String
    get() =
        when (this) {
            is SignedIn -> "SignedIn"
            is ChooseFactor -> "ChooseFactor"
            is ApproveOnDevice -> "ApproveOnDevice"
            is EnterCode -> "EnterCode"
            is UsePasskey -> "UsePasskey"
            is ResetPassword -> "ResetPassword"
            PasswordChanged -> "PasswordChanged"
            is UnsupportedStep -> "UnsupportedStep"
        }

val AuthException.word: String get() = checkNotNull(this::class.simpleName)

/** `SIGNED_OUT` as vectors write it: `SignedOut`. */
fun words(name: String): String = name.split('_').joinToString("") { it.lowercase().replaceFirstChar(Char::uppercase) }
