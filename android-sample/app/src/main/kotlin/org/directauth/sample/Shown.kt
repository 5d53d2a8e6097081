package org.directauth.sample

import java.time.Instant
import org.directauth.AuthException
import org.directauth.Factor
import org.directauth.SessionInfo
import org.directauth.StorageProblem

/** What the app shows at a moment. Nothing in it is secret: what a user types goes from its field to the library. */
data class Shown(
    val screen: Screen,
    /** Something is under way; what would start something else is switched off. */
    val isBusy: Boolean = false,
    /** What went wrong last, until the user does something about it. */
    val problem: Problem? = null,
)

/** One of the app's screens, with what it needs. */
sealed interface Screen {
    /** The storage is being read. */
    data object Starting : Screen

    /**
     * Who signs in, and by what first.
     *
     * @property isStepUp who is signed in shows more: the username is given
     * @property isAnother somebody is signed in already, and stays
     */
    data class SignIn(val username: String = "", val isStepUp: Boolean = false, val isAnother: Boolean = false) : Screen

    /** The server wants one more factor. */
    data class Choose(val factors: List<Factor>) : Screen

    /** A code that was sent, or that the user's authenticator app shows. */
    data class Code(
        val way: Factor,
        val canResend: Boolean,
        /** From when on another one may be asked for. */
        val resendAt: Instant?,
        val expiresAt: Instant?,
        val canChooseAnother: Boolean,
    ) : Screen

    /** A push waits on the user's device. */
    data class Push(val number: String?, val expiresAt: Instant, val canChooseAnother: Boolean) : Screen

    /** The platform asks for a passkey. */
    data class Passkey(val canChooseAnother: Boolean) : Screen

    /** Somebody is signed in. */
    data class Home(
        val name: String,
        val username: String,
        val claims: List<Pair<String, String>>,
        val scopes: List<String>,
        val expiresAt: Instant,
        val canRefresh: Boolean,
        val isPersisted: Boolean,
        /** What the protected resource answered last. */
        val answer: String? = null,
    ) : Screen

    /** Everybody who is signed in. */
    data class Accounts(val sessions: List<SessionInfo>) : Screen

    /** Whether somebody is signed in cannot be known now, or never any more. */
    data class Unavailable(val reason: StorageProblem) : Screen
}

/** What a user has to know; the words for it are resources. */
sealed interface Problem {
    /** The library says what is wrong, and what helps. */
    data class Failed(val error: AuthException) : Problem

    /** A sign-in was under way when the system ended the app. */
    data object Interrupted : Problem

    /** The session is of no use until the user signs in again. */
    data object SignInAgain : Problem

    /** The session ended without the user's doing. */
    data object Ended : Problem

    /** The protected resource does not answer as it should. */
    data class Resource(val status: Int?) : Problem

    /** This device has no passkeys for apps. */
    data object NoPasskeys : Problem
}
