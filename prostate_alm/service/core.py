"""What the API and the worker share: the database, the folder, the queue and the model's identity."""

from dataclasses import dataclass

from prostate_alm.report.disclosure import DisclosurePolicy
from prostate_alm.service.database import Database
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.intake import Intake
from prostate_alm.service.jobs import JobQueue
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.storage import Storage
from prostate_alm.service.worker_registry import WorkerRegistry


@dataclass(frozen=True, eq=False)
class Core:
    """One service, as a process of it sees it.

    Attributes:
        settings: what the deployment chose.
        model: the ensemble's identity and operating points.
        storage: the folder.
        database: the engine of this process.
        queue: jobs after they were accepted.
        intake: takes studies.
        workers: which workers there are.
    """

    settings: ServiceSettings
    model: DeployedModel
    storage: Storage
    database: Database
    queue: JobQueue
    intake: Intake
    workers: WorkerRegistry


def open_core(settings: ServiceSettings, model: DeployedModel) -> Core:
    """Open the folder, bring the database to this version.

    Raises:
        ArgumentError: the database's URL can't be used.
        OSError: the folder can't be made.
    """
    storage = Storage(settings.storage)
    storage.open()
    database = Database.of(settings)
    database.upgrade()
    policy = DisclosurePolicy(settings.silent, settings.audit_share, storage.audit_secret())
    queue = JobQueue(database, model=model, policy=policy)
    intake = Intake(database, storage=storage, queue=queue, model=model, settings=settings)
    return Core(settings, model, storage, database, queue, intake, WorkerRegistry(database))
