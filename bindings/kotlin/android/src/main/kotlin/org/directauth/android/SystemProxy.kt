package org.directauth.android

import java.net.InetSocketAddress
import java.net.ProxySelector
import java.net.URI
import java.net.URISyntaxException
import org.directauth.Proxy

/**
 * How the device's network settings say that a server is reached, for `DirectAuthOptions.proxy`; null: without a proxy.
 *
 * They are read once, now: a client that shall follow a change is made anew. May wait, as a device's settings may name a script. An
 * address that is none has no proxy; the client says what is wrong with it. A proxy of another kind than HTTP is passed over.
 *
 * @param issuer the server's address
 */
public fun systemProxy(issuer: String): Proxy? =
    addresses(issuer).firstNotNullOfOrNull { found ->
        if (found.type() == java.net.Proxy.Type.DIRECT) return null
        val address = found.address() as? InetSocketAddress
        address?.takeIf { found.type() == java.net.Proxy.Type.HTTP }?.let { Proxy.Http("http://${bracketed(it.hostString)}:${it.port}") }
    }

private fun addresses(issuer: String): List<java.net.Proxy> =
    try {
        ProxySelector.getDefault()?.select(URI(issuer)).orEmpty()
    } catch (_: URISyntaxException) {
        emptyList()
    } catch (_: IllegalArgumentException) {
        emptyList()
    }

/** An IPv6 address as it stands in a URL. */
private fun bracketed(host: String) = if (':' in host && !host.startsWith('[')) "[$host]" else host
