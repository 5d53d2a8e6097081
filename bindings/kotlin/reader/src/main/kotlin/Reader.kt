import kotlin.time.Duration.Companion.seconds
import okhttp3.OkHttpClient
import org.directauth.AuthException
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DirectAuthClient
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.Trust
import org.directauth.okhttp.directAuth
import org.directauth.testing.FakeDirectAuth
import org.directauth.testing.MemoryStorage
import org.directauth.testing.Script

/** Only compiled. */
suspend fun reads(): Any {
    val real = DirectAuthClient("https://acme.example", "app") {
        trust = Trust.Bundled
        requestTimeout = 20.seconds
        storage = MemoryStorage()
    }
    val auth: DirectAuthClient = if (real.state.value is AuthState.SignedOut) real else FakeDirectAuth(Script.passwordThenOtp())
    val step: SignInStep =
        try {
            auth.signIn("ana@example.com", maxAge = 300.seconds).password("password")
        } catch (e: AuthException) {
            return e.remedy
        }
    return when (step) {
        is ChooseFactor -> step.factors
        is SignedIn -> OkHttpClient.Builder().directAuth(setOf("https://api.acme.example")) { step.session }
        else -> step
    }
}
