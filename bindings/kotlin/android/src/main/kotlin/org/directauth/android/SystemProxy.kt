package org.directauth.android

import java.net.InetSocketAddress
import java.net.ProxySelector
import java.net.URI
import org.directauth.Proxy

/**
 * How the device's network settings say that a server is reached, for `DirectAuthOptions.proxy`; null: without a proxy.
 *
 * They are read once, now: a client that shall follow a change is made anew. May wait, as a device's settings may name a script.
 *
 * @param issuer the server's address
 */
public fun systemProxy(issuer: String): Proxy? =
    ProxySelector.getDefault()?.select(URI(issuer)).orEmpty().firstNotNullOfOrNull { found ->
        val address = found.address() as? InetSocketAddress
        address?.takeIf { found.type() == java.net.Proxy.Type.HTTP }?.let { Proxy.Http("http://${it.hostString}:${it.port}") }
    }
