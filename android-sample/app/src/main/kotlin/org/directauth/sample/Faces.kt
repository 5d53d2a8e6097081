package org.directauth.sample

import android.content.Context
import android.view.KeyEvent
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import java.time.Duration
import java.time.Instant
import kotlin.reflect.KClass
import org.directauth.Factor

/** A view that the layout has. */
inline fun <reified V : View> View.part(id: Int): V = findViewById<View>(id) as V

/** The views of one screen. */
abstract class Face(val kind: KClass<out Screen>, layout: Int, place: ViewGroup) {
    val view: View = LayoutInflater.from(place.context).inflate(layout, place, false)
    protected val context: Context get() = view.context

    /** Shows what there is to show now. */
    abstract fun show(shown: Shown)

    protected fun text(id: Int): TextView = view.part(id)

    protected fun field(id: Int): EditText = view.part(id)

    protected fun button(id: Int, act: () -> Unit): Button = view.part<Button>(id).apply { setOnClickListener { act() } }

    protected fun show(id: Int, isShown: Boolean) {
        view.part<View>(id).visibility = if (isShown) View.VISIBLE else View.GONE
    }

    protected fun list(id: Int): LinearLayout = view.part(id)

    /** Fills a list with buttons, unless it has these already. */
    protected fun <T> buttons(list: LinearLayout, items: List<T>, words: (T) -> String, act: (T) -> Unit) {
        if (list.tag == items) return
        list.tag = items
        list.removeAllViews()
        for (item in items) {
            val button = LayoutInflater.from(context).inflate(R.layout.button, list, false) as Button
            button.text = words(item)
            button.setOnClickListener { act(item) }
            list.addView(button)
        }
    }

    /** The keyboard's own key, and Enter of a hardware keyboard, which says it twice. */
    protected fun onDone(field: EditText, act: () -> Unit) = field.setOnEditorActionListener { _, _, event ->
        if (event == null || event.action == KeyEvent.ACTION_DOWN) act()
        true
    }

    /** Goes on by itself each second, as long as it is seen. */
    protected fun everySecond(act: () -> Unit) {
        val again = object : Runnable {
            override fun run() {
                act()
                view.postDelayed(this, SECOND_MILLIS)
            }
        }
        view.addOnAttachStateChangeListener(
            object : View.OnAttachStateChangeListener {
                override fun onViewAttachedToWindow(view: View) {
                    again.run()
                }

                override fun onViewDetachedFromWindow(view: View) {
                    view.removeCallbacks(again)
                }
            },
        )
    }

    private companion object {
        const val SECOND_MILLIS = 1_000L
    }
}

/** The views for a screen. */
fun faceOf(screen: Screen, model: AppModel, place: ViewGroup): Face =
    when (screen) {
        Screen.Starting -> StartingFace(place)
        is Screen.SignIn -> SignInFace(model, place)
        is Screen.Choose -> ChooseFace(model, place)
        is Screen.Code -> CodeFace(model, place)
        is Screen.Push -> PushFace(model, place)
        is Screen.Passkey -> PasskeyFace(model, place)
        is Screen.Home -> HomeFace(model, place)
        is Screen.Accounts -> AccountsFace(model, place)
        is Screen.Unavailable -> UnavailableFace(model, place)
    }

private class StartingFace(place: ViewGroup) : Face(Screen.Starting::class, R.layout.starting, place) {
    override fun show(shown: Shown) = Unit
}

private class SignInFace(private val model: AppModel, place: ViewGroup) : Face(Screen.SignIn::class, R.layout.sign_in, place) {
    private val username = field(R.id.username)
    private val password = field(R.id.password)
    private var isStepUp = false
    private val signIn = button(R.id.sign_in, ::go)
    private val passkey = button(R.id.with_passkey, model::signInWithPasskey)
    private val factors = list(R.id.factors)

    init {
        button(R.id.cancel, model::back)
        username.setOnFocusChangeListener { _, isFocused -> if (isFocused) model.isTyping() }
        onDone(password, ::go)
        val first = listOf(Factor.OTP, Factor.PUSH, Factor.SMS, Factor.VOICE, Factor.EMAIL)
        buttons(factors, first, context::words) { model.signInBy(it, username.text.toString()) }
    }

    private fun go() {
        val typed = password.text.toString()
        if (typed.isEmpty() || username.text.isBlank() || !signIn.isEnabled) return
        // It goes to the library, and is here no more.
        password.text.clear()
        if (isStepUp) model.stepUpBy(typed) else model.signIn(username.text.toString(), typed)
    }

    override fun show(shown: Shown) {
        val screen = shown.screen as Screen.SignIn
        isStepUp = screen.isStepUp
        text(R.id.title).setText(
            when {
                screen.isStepUp -> R.string.sign_in_again
                screen.isAnother -> R.string.add_account
                else -> R.string.sign_in
            },
        )
        if (screen.username.isNotEmpty() && username.text.isEmpty()) username.setText(screen.username)
        username.isEnabled = !screen.isStepUp
        show(R.id.with_passkey, !screen.isStepUp)
        show(R.id.without, !screen.isStepUp)
        show(R.id.factors, !screen.isStepUp)
        show(R.id.cancel, screen.isStepUp || screen.isAnother || shown.isBusy)
        for (one in listOf(signIn, passkey) + List(factors.childCount) { factors.getChildAt(it) }) one.isEnabled = !shown.isBusy
    }
}

private class ChooseFace(private val model: AppModel, place: ViewGroup) : Face(Screen.Choose::class, R.layout.choose, place) {
    init {
        button(R.id.cancel, model::back)
    }

    override fun show(shown: Shown) {
        val factors = list(R.id.factors)
        buttons(factors, (shown.screen as Screen.Choose).factors, context::words, model::choose)
        for (index in 0 until factors.childCount) factors.getChildAt(index).isEnabled = !shown.isBusy
    }
}

private class CodeFace(private val model: AppModel, place: ViewGroup) : Face(Screen.Code::class, R.layout.code, place) {
    private val code = field(R.id.code)
    private val goOn = button(R.id.go_on, ::go)
    private val resend = button(R.id.resend, model::resend)
    private var screen: Screen.Code? = null
    private var isBusy = false

    init {
        button(R.id.another, model::chooseAnother)
        button(R.id.cancel, model::back)
        onDone(code, ::go)
        everySecond(::tick)
    }

    private fun go() {
        val typed = code.text.toString()
        if (typed.isBlank() || isBusy) return
        code.text.clear()
        model.submit(typed)
    }

    override fun show(shown: Shown) {
        val screen = shown.screen as Screen.Code
        this.screen = screen
        isBusy = shown.isBusy
        text(R.id.hint).setText(
            when (screen.way) {
                Factor.SMS -> R.string.code_from_sms
                Factor.VOICE -> R.string.code_from_voice
                Factor.EMAIL -> R.string.code_from_email
                else -> R.string.code_from_app
            },
        )
        show(R.id.resend, screen.canResend)
        show(R.id.another, screen.canChooseAnother)
        goOn.isEnabled = !isBusy
        tick()
    }

    private fun tick() {
        val screen = screen ?: return
        showExpiry(text(R.id.expires), screen.expiresAt)
        val wait = screen.resendAt?.let { Duration.between(Instant.now(), it) }?.takeIf { it > Duration.ZERO }
        resend.text = wait?.let { context.getString(R.string.resend_in, countdown(it)) } ?: context.getString(R.string.resend)
        resend.isEnabled = wait == null && !isBusy
    }
}

private class PushFace(model: AppModel, place: ViewGroup) : Face(Screen.Push::class, R.layout.push, place) {
    private var screen: Screen.Push? = null

    init {
        button(R.id.resend, model::resend)
        button(R.id.another, model::chooseAnother)
        button(R.id.cancel, model::back)
        everySecond { screen?.let { showExpiry(text(R.id.expires), it.expiresAt) } }
    }

    override fun show(shown: Shown) {
        val screen = shown.screen as Screen.Push
        this.screen = screen
        text(R.id.hint).setText(if (screen.number == null) R.string.push_approve else R.string.push_number)
        text(R.id.number).text = screen.number
        show(R.id.number, screen.number != null)
        show(R.id.another, screen.canChooseAnother)
        showExpiry(text(R.id.expires), screen.expiresAt)
    }
}

private class PasskeyFace(model: AppModel, place: ViewGroup) : Face(Screen.Passkey::class, R.layout.passkey, place) {
    private val again = button(R.id.again, model::resend)

    init {
        button(R.id.another, model::chooseAnother)
        button(R.id.cancel, model::back)
    }

    override fun show(shown: Shown) {
        again.isEnabled = !shown.isBusy
        show(R.id.another, (shown.screen as Screen.Passkey).canChooseAnother)
    }
}

private class HomeFace(model: AppModel, place: ViewGroup) : Face(Screen.Home::class, R.layout.home, place) {
    private val actions = listOf(
        button(R.id.ask, model::askResource),
        button(R.id.refresh, model::refresh),
        button(R.id.step_up, model::stepUp),
        button(R.id.accounts, model::accounts),
        button(R.id.sign_out, model::signOut),
    )
    private var screen: Screen.Home? = null

    init {
        everySecond(::tick)
    }

    override fun show(shown: Shown) {
        val screen = shown.screen as Screen.Home
        this.screen = screen
        text(R.id.title).text = context.getString(R.string.hello, screen.name)
        text(R.id.username).text = context.getString(R.string.signed_in_as, screen.username)
        // The server's text: shown as text.
        text(R.id.claims).text = screen.claims.joinToString("\n") { (name, value) -> "$name: $value" }
        text(R.id.scopes).text = context.getString(R.string.allowed, screen.scopes.joinToString(", "))
        text(R.id.answer).text = screen.answer?.let { context.getString(R.string.resource_answer, it) }
        show(R.id.answer, screen.answer != null)
        show(R.id.not_persisted, !screen.isPersisted)
        for (action in actions) action.isEnabled = !shown.isBusy
        if (!screen.canRefresh) show(R.id.refresh, false)
        tick()
    }

    private fun tick() {
        val left = Duration.between(Instant.now(), screen?.expiresAt ?: return)
        text(R.id.expires).text =
            if (left.isNegative) context.getString(R.string.token_expired) else context.getString(R.string.token_expires_in, countdown(left))
    }
}

private class AccountsFace(private val model: AppModel, place: ViewGroup) : Face(Screen.Accounts::class, R.layout.accounts, place) {
    init {
        button(R.id.add, model::addAccount)
        button(R.id.cancel, model::back)
    }

    override fun show(shown: Shown) {
        val words = { session: org.directauth.SessionInfo ->
            if (session.isDefault) context.getString(R.string.account_current, session.username) else session.username
        }
        buttons(list(R.id.list), (shown.screen as Screen.Accounts).sessions, words) { model.switchTo(it.id) }
    }
}

private class UnavailableFace(private val model: AppModel, place: ViewGroup) : Face(Screen.Unavailable::class, R.layout.unavailable, place) {
    init {
        button(R.id.again, model::lookAgain)
        button(R.id.discard, model::discard)
    }

    override fun show(shown: Shown) {
        val reason = (shown.screen as Screen.Unavailable).reason
        text(R.id.hint).text = context.words(reason)
        show(R.id.again, reason.isTemporary)
        show(R.id.discard, !reason.isTemporary)
    }
}

private fun showExpiry(text: TextView, at: Instant?) {
    text.visibility = if (at == null) View.GONE else View.VISIBLE
    val left = Duration.between(Instant.now(), at ?: return)
    text.text = if (left.isNegative) text.context.getString(R.string.expired) else text.context.getString(R.string.expires_in, countdown(left))
}
