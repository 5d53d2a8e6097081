package org.directauth

import org.directauth.internal.CoreClient
import org.directauth.internal.CoreLog
import org.directauth.internal.clientSetup

/**
 * A client of one authorization server.
 *
 * Loads and reads nothing yet: the native library is loaded by the first call, on a thread of this library. Keep one for each server
 * as long as the process lives.
 *
 * @param issuer exactly as the server writes it, such as `https://acme.okta.com/oauth2/default`
 * @param clientId the client id of a native app
 */
public fun DirectAuthClient(
    issuer: String,
    clientId: String,
    configure: DirectAuthOptions.() -> Unit = {},
): DirectAuthClient = CoreClient(clientSetup(issuer, clientId, DirectAuthOptions().apply(configure)))

/** What the library tells of its work, for the app's own log: of the whole process, without secrets. */
public object DirectAuthLog {
    /** Gives the lines to [sink] from now on, or to nobody. Returns at once; the native library is loaded on another thread. */
    public fun setSink(sink: LogSink?) {
        CoreLog.setSink(sink)
    }
}
