package org.directauth

import kotlin.test.assertEquals
import org.junit.jupiter.api.Test

/** The enums of the interfaces and those of the core have the same values: they are carried over by name. */
class LikenessTest {
    @Test
    fun `both sides have the same values`() {
        same<Factor, org.directauth.ffi.Factor>()
        same<PasskeyStart, org.directauth.ffi.PasskeyStart>()
        same<RecoveryRequest, org.directauth.ffi.RecoveryRequest>()
        same<DPoP, org.directauth.ffi.DPoP>()
        same<Profile, org.directauth.ffi.Profile>()
        same<Accounts, org.directauth.ffi.Accounts>()
        same<RefreshPolicy, org.directauth.ffi.RefreshPolicy>()
        same<WhenStorageFails, org.directauth.ffi.WhenStorageFails>()
        same<WiderScopes, org.directauth.ffi.WiderScopes>()
        same<Hint, org.directauth.ffi.Hint>()
        same<EndReason, org.directauth.ffi.EndReason>()
        same<StorageProblem, org.directauth.ffi.StorageProblem>()
        same<KeyProblem, org.directauth.ffi.KeyProblem>()
        same<NetworkProblem, org.directauth.ffi.NetworkProblem>()
        same<PasskeyProblem, org.directauth.ffi.PasskeyProblem>()
        same<HeaderProblem, org.directauth.ffi.HeaderProblem>()
        same<LogLevel, org.directauth.ffi.LogLevel>()
        same<SessionToken, org.directauth.ffi.SessionToken>()
        same<ServerSignOut, org.directauth.ffi.ServerSignOut>()
        same<DeviceSignOut, org.directauth.ffi.DeviceSignOut>()
    }

    private inline fun <reified A : Enum<A>, reified B : Enum<B>> same() {
        assertEquals(enumValues<B>().map { it.name }, enumValues<A>().map { it.name }, A::class.simpleName)
    }
}
