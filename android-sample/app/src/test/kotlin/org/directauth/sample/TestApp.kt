package org.directauth.sample

import org.directauth.DirectAuthClient
import org.directauth.Trust
import org.directauth.testing.Emulator

/** The app as it is, at an emulator of the test's. */
class TestApp : SampleApp() {
    override fun client(): DirectAuthClient =
        DirectAuthClient(emulator.issuer, emulator.clientId) {
            configure(this)
            trust = Trust.Custom(emulator.caPem)
        }

    /** As in a new process. */
    fun startAnew() {
        kept = newModel()
    }

    override fun resource(): Resource = HttpsResource(emulator.resourceUrl, emulator.socketFactory)

    companion object {
        /** The server of the test that runs. */
        lateinit var emulator: Emulator
    }
}
