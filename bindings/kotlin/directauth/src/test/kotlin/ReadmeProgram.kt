import kotlinx.coroutines.runBlocking
import org.directauth.*
import org.directauth.testing.Emulator
import org.directauth.testing.MemoryStorage

fun main() = runBlocking {
    Emulator.start().use { emulator -> // runs directauth-emulator; an app names its own server
        val auth = DirectAuthClient(emulator.issuer, emulator.clientId) {
            scopes = listOf("openid", "profile", "offline_access")
            trust = Trust.Custom(emulator.caPem) // for the emulator only
            storage = MemoryStorage() // on a device: one that encrypts
        }
        var step = auth.signIn("ana@example.com").password("correct horse battery")
        while (step !is SignedIn) {
            step = when (val here = step) {
                is ChooseFactor -> here.sms() // or otp(code), push(), voice(), email(), passkey()
                is EnterCode -> try {
                    here.submit(emulator.lastCode("ana@example.com").orEmpty())
                } catch (e: AuthException.Rejected) {
                    here // a wrong code: the step stays usable
                }
                is ApproveOnDevice -> here.approved()
                else -> error("not expected: $here")
            }
        }
        println("signed in: ${step.session.claims?.text("name")}")
        println("signed out: ${step.session.signOut().server}")
    }
}
