package org.directauth.sample

import android.content.Context
import java.time.Duration
import java.time.Instant
import java.time.ZoneId
import java.time.format.DateTimeFormatter
import java.time.format.FormatStyle
import org.directauth.AuthException
import org.directauth.Factor
import org.directauth.NetworkProblem
import org.directauth.Remedy
import org.directauth.StorageProblem

/** A factor's name. */
fun Context.words(factor: Factor): String =
    getString(
        when (factor) {
            Factor.OTP -> R.string.factor_otp
            Factor.PUSH -> R.string.factor_push
            Factor.SMS -> R.string.factor_sms
            Factor.VOICE -> R.string.factor_voice
            Factor.EMAIL -> R.string.factor_email
            Factor.PASSKEY -> R.string.factor_passkey
        },
    )

/** What went wrong, and what helps. */
fun Context.words(problem: Problem): String =
    when (problem) {
        is Problem.Failed -> words(problem.error)
        Problem.Interrupted -> getString(R.string.problem_interrupted)
        Problem.SignInAgain -> getString(R.string.problem_sign_in_again)
        Problem.Ended -> getString(R.string.problem_ended)
        Problem.NoPasskeys -> getString(R.string.problem_no_passkeys)
        is Problem.Resource -> problem.status?.let { getString(R.string.problem_resource, it) } ?: getString(R.string.problem_resource_unreachable)
    }

/** The remedy in the user's words. The server's own text is not shown: it may say too much, and is in no language of the user's. */
private fun Context.words(error: AuthException): String =
    when (val remedy = error.remedy) {
        Remedy.AskAgain -> getString(R.string.problem_ask_again)
        Remedy.ChooseAnother ->
            getString(if (error is AuthException.Declined) R.string.problem_declined else R.string.problem_choose_another)
        Remedy.StartOver -> getString(if (error is AuthException.Expired) R.string.problem_expired else R.string.problem_start_over)
        is Remedy.Wait -> remedy.until?.let { getString(R.string.problem_wait, timeOfDay(it)) } ?: getString(R.string.problem_server)
        Remedy.SignInAgain -> getString(R.string.problem_sign_in_again)
        Remedy.OpenBrowser -> getString(R.string.problem_browser)
        Remedy.CheckConnection -> {
            val isPortal = (error as? AuthException.Network)?.problem == NetworkProblem.CAPTIVE_PORTAL
            getString(if (isPortal) R.string.problem_portal else R.string.problem_connection)
        }
        Remedy.Unlock -> (error as? AuthException.StorageUnavailable)?.let { words(it.reason) } ?: getString(R.string.problem_unlock)
        // The request's id is what a support desk asks for.
        Remedy.ContactSupport -> getString(R.string.problem_support, error.requestId ?: "–")
        Remedy.FixConfiguration -> getString(R.string.problem_configuration, error.message.orEmpty())
        else -> getString(R.string.problem_moment)
    }

/** Why a sign-in cannot be read, and what helps. */
fun Context.words(reason: StorageProblem): String =
    getString(
        when {
            reason == StorageProblem.LOCKED -> R.string.unavailable_locked
            reason == StorageProblem.NEEDS_USER || reason == StorageProblem.USER_CANCELLED -> R.string.unavailable_user
            reason.isTemporary -> R.string.unavailable_temporary
            else -> R.string.unavailable_gone
        },
    )

private fun Context.timeOfDay(at: Instant): String =
    DateTimeFormatter.ofLocalizedTime(FormatStyle.MEDIUM)
        .withLocale(resources.configuration.locales[0])
        .withZone(ZoneId.systemDefault())
        .format(at)

/** `4:59`, or `1:02:03`; a part of a second counts whole. */
fun countdown(left: Duration): String {
    val seconds = left.plusMillis(999).seconds.coerceAtLeast(0)
    val (hours, minutes) = seconds / 3600 to seconds / 60 % 60
    return if (hours > 0) "%d:%02d:%02d".format(hours, minutes, seconds % 60) else "%d:%02d".format(minutes, seconds % 60)
}
