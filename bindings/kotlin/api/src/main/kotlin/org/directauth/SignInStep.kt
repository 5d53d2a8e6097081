package org.directauth

import java.time.Instant

/**
 * Where a sign-in stands: each step offers only what can come next.
 *
 * After an error the step in hand stays usable unless the error says otherwise; a step whose action has succeeded is spent, except
 * [ChooseFactor]. A step that is let go of ends by itself.
 */
public sealed interface SignInStep

/** Done. Letting go of the session does not sign out. */
public data class SignedIn(public val session: AuthSession) : SignInStep

/** The new password is set, and the recovery is over: sign in with it. */
public data object PasswordChanged : SignInStep

/** The server wants something that this version or the declared capabilities cannot do. */
public data class UnsupportedStep(
    /** What, for a developer. */
    public val what: String,
) : SignInStep

/** The factors that need no password. Each function sends one request. */
public interface FactorChoice {
    /** With a code from an authenticator app. */
    public suspend fun otp(code: String): SignInStep

    /** With a prompt on the user's device. */
    public suspend fun push(): SignInStep

    /** With a code by text message. */
    public suspend fun sms(): SignInStep

    /** With a code by a phone call. */
    public suspend fun voice(): SignInStep

    /** With a code by e-mail. */
    public suspend fun email(): SignInStep

    /** With a passkey. */
    public suspend fun passkey(): SignInStep
}

/** A user who is about to sign in: choose the first factor. */
public interface SignIn : FactorChoice {
    /**
     * With the password, which is sent once and never altered.
     *
     * @throws AuthException.Rejected if the server refused it; it does not say whether the user or the password is wrong
     */
    public suspend fun password(password: String): SignInStep
}

/** A user who has forgotten the password: choose the factor that shows who they are. */
public interface Recovery : FactorChoice

/**
 * The server wants a second factor; the user or the app chooses one. It stays usable for another try, also after a refusal, until
 * the server forgets the sign-in.
 */
public interface ChooseFactor : SignInStep, FactorChoice {
    /** Those that can be chosen: what the server hinted, the app can do, and the server has not refused. */
    public val factors: List<Factor>

    /** Ends the sign-in: nothing new is sent, and tokens that still come are given back. */
    public fun cancel()
}

/** A prompt is on the user's device. */
public interface ApproveOnDevice : SignInStep {
    /** The number to show, which the user taps there; null if the prompt asks for yes or no. */
    public val number: String?

    /** When it ends, on the device's wall clock. */
    public val expiresAt: Instant

    /** Where "back" leads: the choice that this step came from; null if it was the first factor. */
    public val choice: ChooseFactor?

    /**
     * Waits until the user has answered, asking the server at its interval. May be cancelled and called again.
     *
     * @throws AuthException.Declined if the user said no, or tapped a wrong number
     * @throws AuthException.Expired if nobody answered in time
     */
    public suspend fun approved(): SignInStep

    /** Sends another prompt: at most five in ten minutes. */
    public suspend fun resend(): SignInStep

    /** Ends the sign-in: nothing new is sent, and tokens that still come are given back. */
    public fun cancel()
}

/** A code is on its way to the user. */
public interface EnterCode : SignInStep {
    /** By which way. */
    public val channel: Factor

    /** When it ends, on the device's wall clock. */
    public val expiresAt: Instant

    /** From when on another code may be sent. */
    public val resendAt: Instant

    /** How many codes may still be entered. */
    public val attemptsLeft: Int

    /** Where "back" leads: the choice that this step came from; null if it was the first factor. */
    public val choice: ChooseFactor?

    /**
     * The code that came.
     *
     * @throws AuthException.Rejected if it was wrong; the step stays usable
     * @throws AuthException.TooManyAttempts after the fifth wrong one
     */
    public suspend fun submit(code: String): SignInStep

    /** Sends another code; the old one works until that has succeeded. */
    public suspend fun resend(): SignInStep

    /** Ends the sign-in: nothing new is sent, and tokens that still come are given back. */
    public fun cancel()
}

/** The platform is to use a passkey: one ceremony for each challenge. */
public interface UsePasskey : SignInStep {
    /** `PublicKeyCredentialRequestOptionsJSON`, for one ceremony of the platform. */
    public val requestJson: String

    /** The user's passkeys, if the server lists them. */
    public val enrolled: List<EnrolledPasskey>

    /** When it ends, on the device's wall clock. */
    public val expiresAt: Instant

    /** Where "back" leads: the choice that this step came from; null if it was the first factor. */
    public val choice: ChooseFactor?

    /**
     * The platform's `AuthenticationResponseJSON`.
     *
     * @throws AuthException.Passkey if it cannot be an answer to this challenge; nothing was sent
     */
    public suspend fun answer(responseJson: String): SignInStep

    /** Another challenge, for another ceremony. */
    public suspend fun renew(): SignInStep

    /** Ends the sign-in: nothing new is sent, and tokens that still come are given back. */
    public fun cancel()
}

/** One of the user's passkeys, as the server knows it. Printing it shows neither. */
public class EnrolledPasskey(
    /** The credential id, base64url. */
    public val id: String,
    /** What the user called it. **Untrusted** text. */
    public val name: String,
) {
    override fun equals(other: Any?): Boolean = other is EnrolledPasskey && other.id == id && other.name == name

    override fun hashCode(): Int = id.hashCode()

    override fun toString(): String = "EnrolledPasskey([not printed])"
}

/** The user may set a new password. Only after [DirectAuthClient.recover]. */
public interface ResetPassword : SignInStep {
    /** When it ends, on the device's wall clock. */
    public val expiresAt: Instant

    /**
     * Sets it. A password that the policy refuses leaves the step usable.
     *
     * @throws AuthException.Rejected if the policy refuses it; [ServerText.causes] may say why
     */
    public suspend fun set(newPassword: String): SignInStep

    /** Ends the recovery: nothing new is sent. */
    public fun cancel()
}
