package org.directauth.sample

import android.app.Application
import android.content.Context
import kotlinx.coroutines.MainScope
import org.directauth.Accounts
import org.directauth.DPoP
import org.directauth.DirectAuthClient
import org.directauth.DirectAuthOptions
import org.directauth.Trust
import org.directauth.android.KeystoreSigningKey
import org.directauth.android.KeystoreStorage
import org.directauth.android.followApp

/** What lives as long as the process: the client of the library, and what the app shows. */
open class SampleApp : Application() {
    /** What the app shows. */
    val model: AppModel get() = kept ?: newModel().also { kept = it }

    protected var kept: AppModel? = null

    protected fun newModel(): AppModel {
        val auth = client()
        // Tells the client when the app comes to the foreground and when the device is unlocked.
        auth.followApp(this)
        return AppModel(auth, resource(), MainScope())
    }

    /** One client for the life of the process. */
    protected open fun client(): DirectAuthClient = DirectAuthClient(getString(R.string.issuer), getString(R.string.client_id)) { configure(this) }

    /** What every client of this app has in common. */
    protected fun configure(options: DirectAuthOptions) = with(options) {
        scopes = getString(R.string.requested_scopes).split(' ')
        accounts = Accounts.MANY
        storage = KeystoreStorage(this@SampleApp)
        // Tokens are bound to a key of the device where the server can do that.
        signingKey = KeystoreSigningKey(this@SampleApp)
        dpop = DPoP.PREFERRED
        resourceOrigins = listOf(originOf(getString(R.string.resource_url)))
        emulatorAuthority()?.let { trust = Trust.Custom(it) }
    }

    /** The API that the app uses. */
    protected open fun resource(): Resource = HttpsResource(getString(R.string.resource_url))

    /** The certificate authority of the emulator, which debug builds alone have, as `res/raw/emulator_ca`. */
    private fun emulatorAuthority(): String? {
        val id = resources.getIdentifier("emulator_ca", "raw", packageName)
        return if (id == 0) null else resources.openRawResource(id).bufferedReader().use { it.readText() }
    }

    companion object {
        /** The model of the app that [context] belongs to. */
        fun modelOf(context: Context): AppModel = (context.applicationContext as SampleApp).model

        private fun originOf(url: String): String = java.net.URI(url).let { "${it.scheme}://${it.authority}" }
    }
}
