"""Every setting, from the environment. A wrong value stops the start and names its variable.

Not a stage. Trusts the environment and the files in KEYS_DIR. Two modes, and no default between
them: `test` accepts software authenticators and says so everywhere; `live` never does, and
refuses to start unsafe (`registry/checks.py`). PostgreSQL is the only database.
"""

from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import make_conninfo

from registry.local import env, secret

BASE_DIR = Path(__file__).resolve().parent.parent
env.load_dotenv(BASE_DIR / ".env")

# --- where things lie -------------------------------------------------------------------------
KYODAKU_MODE = env.choice("KYODAKU_MODE", {"test", "live"})
LIVE = KYODAKU_MODE == "live"
HOME = env.path("KYODAKU_HOME", BASE_DIR / "var")
KEYS_DIR = env.path("KYODAKU_KEYS_DIR", HOME / "keys")  # secret seeds, 0700
RECIPES_DIR = BASE_DIR / "training" / "trainer" / "presets"  # what the request form offers
STORAGE_DIR = env.path("KYODAKU_STORAGE_DIR", HOME / "storage")  # encrypted objects only
LOG_EXPORT_DIR = env.optional_path("KYODAKU_LOG_EXPORT_DIR", HOME / "log-export")
WORKER_DIR = env.path("KYODAKU_WORKER_DIR", HOME / "worker")  # running jobs, wiped after each
ENGINE_DIR = env.path("KYODAKU_ENGINE_DIR", HOME / "engines" / "yunet_sface")
SCENERY_DIR = env.path("KYODAKU_SCENERY_DIR", ENGINE_DIR.parent / "scenery")
ENGINE_SHA256 = env.text("KYODAKU_ENGINE_SHA256", "")  # of another pack's manifest.json
CALIBRATION = env.file("KYODAKU_CALIBRATION")  # of `kyodaku calibrate`; else the pack's own
BASES_DIR = env.paths("KYODAKU_BASES_DIR", [BASE_DIR / "training" / "trainer" / "base"])

# --- who we are -------------------------------------------------------------------------------
PUBLIC_URL = env.web_address("KYODAKU_PUBLIC_URL", None if LIVE else "http://localhost:8000")
PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname or ""
RP_ID = env.text("KYODAKU_RP_ID", PUBLIC_HOST)  # WebAuthn: passkeys belong to this name for ever
LOG_ORIGIN = env.text("KYODAKU_LOG_ORIGIN", None if LIVE else "kyodaku.invalid/test")

# --- who vouches for the log from outside -------------------------------------------------------
# A file with `quorum K` and `witness URL VKEY [VKEY]` lines; without it nobody is asked.
LOG_WITNESSES = env.file("KYODAKU_LOG_WITNESSES")
# A time-stamping authority (RFC 3161) and the certificates that its stamps must lead to.
LOG_TSA_URL = env.text("KYODAKU_LOG_TSA_URL", "")
LOG_TSA_ROOTS = env.file("KYODAKU_LOG_TSA_ROOTS")

# --- promises with a number -------------------------------------------------------------------
LEASE_SECONDS = env.integer("KYODAKU_LEASE_SECONDS", 9, least=2, most=30)
# A further key of somebody who has one counts after this long: whoever steals a session cannot
# enrol a key of their own and approve with it before its owner has seen it in the list.
NEW_KEY_WAIT_HOURS = env.integer(
    "KYODAKU_NEW_KEY_WAIT_HOURS", 72 if LIVE else 0, least=72 if LIVE else 0, most=720
)
# Time to think before a talent's or guardian's yes counts, by country where one asks for more.
COOLING_HOURS = env.hours(
    "KYODAKU_COOLING_HOURS", 48 if LIVE else 0, least=48 if LIVE else 0, most=720
)
# Averages over some 10^5 files of one watermark key begin to show its probes.
WATERMARK_EPOCH_FILES = env.integer("KYODAKU_WATERMARK_EPOCH_FILES", 50_000, least=1, most=90_000)
STATUS_MAX_AGE = env.integer("KYODAKU_STATUS_MAX_AGE", 60, least=2, most=60)

# --- Django -----------------------------------------------------------------------------------
DEBUG = env.flag("KYODAKU_DEBUG", default=False)
SECRET_KEY = secret.read(KEYS_DIR)
ALLOWED_HOSTS = env.words(
    "KYODAKU_ALLOWED_HOSTS",
    [PUBLIC_HOST] if LIVE else sorted({PUBLIC_HOST, "localhost", "127.0.0.1", "[::1]"}),
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

INSTALLED_APPS = [
    "registry.apps.RegistryConfig",
    "registry.log",
    "training",
    "audit",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "registry.middleware.NulIsNothing",
]

ROOT_URLCONF = "registry.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
WSGI_APPLICATION = "registry.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "registry.context.site",
            ]
        },
    }
]

# --- database ---------------------------------------------------------------------------------
# The supervisor leaves the address of the database it runs in HOME, so that `manage.py` by hand
# reaches the same one; DATABASE_URL wins.
DATABASE_URL_FILE = HOME / "database.url"
DATABASE_URL = env.text(
    "DATABASE_URL",
    DATABASE_URL_FILE.read_text(encoding="utf-8").strip() if DATABASE_URL_FILE.is_file() else None,
)
DATABASES = {
    "default": {
        **env.database(DATABASE_URL),
        # A new connection costs a SCRAM handshake: 5 ms of processor time at every request.
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
}

# --- Celery: wakes workers, never decides -------------------------------------------------------
# The row is the truth and a message carries only its id, so duplicates do no harm and what is
# lost is found again by the sweep. By default the queue lives in the same PostgreSQL (pgmq).
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "pgmq://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}
if CELERY_BROKER_URL.startswith("pgmq:"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "conn_string": make_conninfo(**env.conninfo(env.database(DATABASE_URL))),
        "init_extension": False,  # `registry.local.broker` installs its SQL once
        "use_notify": True,
        "polling_interval": 1,  # also how long an idle worker takes to stop
        "wait_time_seconds": 0,  # NOTIFY wakes the worker; no second, inner polling
        "visibility_timeout": 1800,
        "pool_size": 4,
    }
# RabbitMQ: classic queues. On a quorum queue Celery's prefetch is static, and one message for two
# hours from now, which anybody at the broker can write, blocks a worker for two hours. There is
# nothing here to replicate: a lost nudge is sent again.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # pgmq's SQL lacks what it calls; we use flags in rows
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_IGNORE_RESULT = True  # no result backend
CELERY_TASK_ACKS_LATE = True
# What kills its worker would come back at once, without limit; the sweep sends what is needed.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_DEFAULT_QUEUE = "default"  # seal, deliver, periodic; queue `gpu` runs one at a time
CELERY_TASK_CREATE_MISSING_QUEUES = True
# With the broker away, a page answers all the same: the row is kept, the sweep finds it.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_TASK_ROUTES = {"training.nudge_worker": {"queue": "gpu"}}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "Asia/Tokyo"
CELERY_BEAT_SCHEDULE = {
    # Named by string: a lower floor imports nothing from above. What a lost message left behind.
    "sweep": {"task": "training.sweep", "schedule": 5.0},
    "authority": {"task": "registry.authority_sweep", "schedule": 600.0},
    "expire": {"task": "registry.expire_grants", "schedule": 60.0},
    "stamp": {"task": "registry.stamp_log", "schedule": 3600.0},  # asks once a day, and on failure
    "licences": {"task": "registry.licence_sweep", "schedule": 60.0},
    "letters": {"task": "registry.send_letters", "schedule": 60.0},
    "throttles": {"task": "registry.sweep_throttles", "schedule": 3600.0},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "celerybeat-schedule")

# --- runners: how a worker comes to look at the queue (training/runners) --------------------------
RUNNER = env.choice("KYODAKU_RUNNER", {"celery", "process", "kubernetes"}, "celery")
KUBERNETES_POD = env.file("KYODAKU_KUBERNETES_POD")  # docker/pod.toml is an example
KUBERNETES_API = env.text("KYODAKU_KUBERNETES_API", "https://kubernetes.default.svc")
KUBERNETES_ACCOUNT = env.path(
    "KYODAKU_KUBERNETES_ACCOUNT", Path("/var/run/secrets/kubernetes.io/serviceaccount")
)
if RUNNER == "kubernetes" and KUBERNETES_POD is None:
    raise env.refuse("KYODAKU_KUBERNETES_POD", "must be set when KYODAKU_RUNNER is kubernetes")

# --- mail: messages that say that something waits ------------------------------------------------
# smtp://user:password@host:587 (STARTTLS) or smtps://…:465. Unset: none is sent, a message with an
# address fails visibly, and everything stands on people's own pages.
EMAIL_URL = env.text("KYODAKU_EMAIL_URL", "none")
EMAIL_BACKEND = "registry.mail.NoMail"
if EMAIL_URL != "none":
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    globals().update(env.mail(EMAIL_URL))
DEFAULT_FROM_EMAIL = env.text("KYODAKU_EMAIL_FROM", f"kyodaku@{PUBLIC_HOST}")

# --- language and time ------------------------------------------------------------------------
LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", "日本語"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "registry" / "locale"]
USE_I18N = True
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True

# --- static files, uploads --------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STORAGES = {
    # No stored file is ever served by path: objects are encrypted and go through services.
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(STORAGE_DIR)},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Several machines share a bucket (training/services/objects.py). Credentials: boto3's own places.
S3_BUCKET = env.text("KYODAKU_S3_BUCKET", "")
if S3_BUCKET:
    from registry.local import bucket

    STORAGES["objects"] = bucket.storage(
        S3_BUCKET,
        env.web_address("KYODAKU_S3_ENDPOINT"),
        env.text("KYODAKU_S3_REGION", "us-east-1"),
    )
# Photographs of people stay in memory until they are encrypted: no spool file in a temp folder.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = env.integer(
    "KYODAKU_UPLOAD_MAX_BYTES", 64 << 20, least=1 << 20, most=1 << 30
)
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE
DATA_UPLOAD_MAX_NUMBER_FILES = 100

# --- HTTP API ---------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "registry.api.parsers.StrictJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kyodaku",
    "DESCRIPTION": "Consent and rights registry for person-LoRAs, with a training gatekeeper.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- browser security -------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
HTTPS = PUBLIC_URL.startswith("https:")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = LIVE
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if LIVE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = LIVE
# Behind a proxy that sets it; never believed without being told, a client could send it.
BEHIND_PROXY = env.flag("KYODAKU_BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

# --- application log (not the registry's log, which is registry.log) ----------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "httpx": {"level": "WARNING"},  # else a line a request, with object digests
        "fontTools": {"level": "WARNING"},  # else every glyph of a printed page
    },
    "root": {
        "handlers": ["stderr"],
        "level": env.choice("KYODAKU_LOG_LEVEL", {"DEBUG", "INFO", "WARNING", "ERROR"}, "INFO"),
    },
}

if LIVE and DEBUG:
    raise ImproperlyConfigured("KYODAKU_DEBUG: must be off when KYODAKU_MODE is live")
