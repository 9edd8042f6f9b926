"""From one version of an agent to the next, in steps that a killed run leaves in the environment's file.

The file is the only memory. A run reads it, goes on from the step that it names, and ends with no release in it: the
same command thus converges from wherever an earlier one was stopped.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from settings.agents import AgentSettings, tracks
from settings.errors import SettingsError
from settings.rollout import StateFormats, incompatible, version_of, with_version
from settings.root import Settings

from .judge import Ask, Figures, PrometheusError, Verdict, figures, judge

KEEP_FOR = timedelta(minutes=15)
_CHECKS = 10
"""How often a step is looked at while it is watched."""


class Outcome(enum.IntEnum):
    """How a command ended; the value is its exit code."""

    DONE = 0
    ROLLED_BACK = 1
    UNDECIDED = 3
    """The release stays as it is: too little speaks for it or against it, or somebody else has taken it over."""
    FAILED = 4
    """The file says what should run, and the engine could not bring it about: the same command tries again."""


class UpdateFailedError(Exception):
    """An update did not succeed; the text is what the engine said last."""


class LockedError(Exception):
    """Another update of the stack is under way."""


@dataclass(frozen=True)
class Update:
    """One update in the stack's history."""

    number: int
    when: datetime
    succeeded: bool
    result: str
    agents: Mapping[str, Any]
    """The agents' settings in the environment's file, as it was."""


class ReleaseStack(Protocol):
    """What the driver needs of `engine.Stack`."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def agents(self) -> dict[str, Any]: ...  # noqa: D102

    def checked(self, agents: Mapping[str, Any]) -> Settings: ...  # noqa: D102

    def write(self, agents: dict[str, Any]) -> None: ...  # noqa: D102

    def up(self, message: str) -> None: ...  # noqa: D102

    def history(self) -> Iterator[Update]: ...  # noqa: D102


@dataclass
class Driver:
    """Moves the agents of one stack from version to version."""

    stack: ReleaseStack
    ask: Ask | None
    """Asks Prometheus; None: a step is good once its pods are ready."""
    say: Callable[[str], None]
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _namespace: str = field(default="", init=False)

    def release(
        self, name: str, version: str, *, steps: Sequence[int], pause: timedelta, state: StateFormats | None = None
    ) -> Outcome:
        """Take `name` to `version` by the strategy that its `rollout` names, and back if it does worse.

        `steps` are the candidate's shares in percent, of a canary alone; `pause` is how long each is watched; `state`
        is what the new version reads and writes, if that is other than before.

        Raises `SettingsError` before anything is changed: for input that does not fit, or another release in progress.
        """
        agent = self._agent(name)
        if agent.release is None:
            if version_of(agent.image) == version:
                return self._finish(name, f"{name} runs {version}")
        elif agent.release.version != version:
            raise SettingsError(
                f"agents.{name}.release.version: a release to {agent.release.version} is in progress: finish it with "
                f"`--to {agent.release.version}`, or go back with `{self._rollback(name)}`"
            )
        elif agent.release.aborted:
            return self._back(name, "an earlier run had decided so")
        shares = _remaining(agent, steps)
        for share in shares:
            self.stack.checked(self._proposed(name, agent, version, share, state))
        for share in shares:
            if agent.release is None or agent.release.share != share:
                self.stack.write(self._proposed(name, agent, version, share, state))
                agent = self._agent(name)
            self.say(f"{name} {version}: {_described(agent, share)}")
            try:
                self.stack.up(f"agentstack: release {name} {version}, {share} %")
            except UpdateFailedError as error:
                return self._back(name, str(error))
            last_of_two = agent.rollout.strategy == "blueGreen" and share == 100
            verdict, reason = self._watched(name, agent, agent.rollout.keep_for or KEEP_FOR if last_of_two else pause)
            if self._agent(name).release != agent.release:
                self.say(
                    f"{name} {version}: somebody else has changed the release meanwhile: nothing more is done here"
                )
                return Outcome.UNDECIDED
            self.say(f"{name} {version}: {verdict.value}: {reason}")
            if verdict is Verdict.BAD:
                return self._back(name, reason)
            if verdict is Verdict.UNDECIDED:
                self.say(
                    f"{name} {version} stays at {share} %: run the same command to watch it again, or go back with "
                    f"`{self._rollback(name)}`"
                )
                return Outcome.UNDECIDED
        return self._promoted(name, agent)

    def back(self, name: str) -> Outcome:
        """Take a release in progress back; the outcome is `DONE` when the stable version runs alone."""
        outcome = self._back(name, "as told")
        return Outcome.DONE if outcome is Outcome.ROLLED_BACK else outcome

    def rollback(self, name: str | None, version: str | None) -> Outcome:
        """Restore the settings of `name` as they were with `version`, or with the version before; or of all agents.

        A release in progress goes back instead. The settings are the agent's group in the environment's file, from the
        history of the stack's updates.

        Raises `SettingsError` where the history has nothing to restore.
        """
        now = self.stack.checked(self.stack.agents).agents
        if name is not None:
            self._agent(name)
        running = [agent for agent in ([name] if name else now) if now[agent].release is not None]
        if running and version in (None, *(version_of(now[agent].image) for agent in running)):
            return max(self.back(agent) for agent in running)
        for agent in running:
            raise SettingsError(f"agents.{agent}.release: in progress: first run `{self._rollback(agent)}`")
        wanted = former(list(self.stack.history()), name, version)
        agents = self.stack.agents
        for agent, group in wanted.items():
            agents[agent] = group
        for agent, settings in self.stack.checked(agents).agents.items():
            current = now[agent].state if agent in wanted and agent in now else None
            for problem in incompatible(current, settings.state) if current and settings.state else ():
                raise SettingsError(f"agents.{agent}.state: {problem}")
        self.stack.write(agents)
        restored = ", ".join(f"{agent} {version_of(group['image'])}" for agent, group in wanted.items())
        return self._finish(None, f"restored: {restored}")

    def _agent(self, name: str) -> AgentSettings:
        settings = self.stack.checked(self.stack.agents)
        self._namespace = settings.namespaces.agents.name
        if name not in settings.agents:
            raise SettingsError(f"unknown agent `{name}`: known are {', '.join(settings.agents)}")
        if settings.agents[name].release is not None and "release" not in self.stack.agents.get(name, {}):
            raise SettingsError(f"agents.{name}.release: belongs into the environment's file: move it there")
        return settings.agents[name]

    def _proposed(
        self, name: str, agent: AgentSettings, version: str, share: int, state: StateFormats | None
    ) -> dict[str, Any]:
        agents = self.stack.agents
        group = agents.setdefault(name, {})
        release: dict[str, Any] = {**(group.get("release") or {}), "version": version, "share": share}
        release["since"] = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="seconds")
        # What runs now is written out, so that the history of updates knows it.
        group["image"] = agent.image
        if agent.state is not None:
            group["state"] = agent.state.model_dump(mode="json", by_alias=True)
        if state is not None:
            release["state"] = state.model_dump(mode="json", by_alias=True)
        group["release"] = release
        return agents

    def _promoted(self, name: str, agent: AgentSettings) -> Outcome:
        agents = self.stack.agents
        release = agents[name].pop("release")
        version = str(release["version"])
        agents[name]["image"] = with_version(agent.image, version)
        if "state" in release:
            agents[name]["state"] = release["state"]
        self.stack.write(agents)
        return self._finish(name, f"{name} runs {version}")

    def _finish(self, name: str | None, message: str) -> Outcome:
        try:
            self.stack.up(f"agentstack: {message}")
        except UpdateFailedError as error:
            self.say(f"{error}\nnot deployed yet: run the same command again")
            return Outcome.FAILED
        self.say(message)
        return Outcome.DONE

    def _back(self, name: str, reason: str) -> Outcome:
        agents = self.stack.agents
        agents[name]["release"]["aborted"] = True
        self.stack.write(agents)
        self.say(f"{name} goes back: {reason}")
        try:
            self.stack.up(f"agentstack: {name} goes back")
        except UpdateFailedError as error:
            self.say(f"{error}\nnot back yet: run the same command again")
            return Outcome.FAILED
        agents = self.stack.agents
        del agents[name]["release"]
        self.stack.write(agents)
        self.say(f"{name} runs {version_of(agents[name]['image'])} again")
        return Outcome.ROLLED_BACK

    def _rollback(self, name: str) -> str:
        return f"agentstack rollback {name} --env {self.stack.name}"

    def _watched(self, name: str, agent: AgentSettings, pause: timedelta) -> tuple[Verdict, str]:
        """Watch a step for `pause`, and once more so long where that has too few requests; end early if it is bad."""
        if self.ask is None:
            self.sleep(pause.total_seconds())
            return Verdict.GOOD, "its pods are ready, and nothing else was asked"
        start, span = self.clock(), pause.total_seconds()
        while True:
            self.sleep(max(1.0, span / _CHECKS))
            passed = self.clock() - start
            try:
                verdict, reason = self._verdict(self.ask, name, agent, passed)
            except PrometheusError as error:
                verdict, reason = Verdict.UNDECIDED, str(error)
            over = passed >= span if verdict is Verdict.GOOD else passed >= 2 * span
            if verdict is Verdict.BAD or over:
                return verdict, reason

    def _verdict(self, ask: Ask, name: str, agent: AgentSettings, seconds: float) -> tuple[Verdict, str]:
        release, analysis = agent.release, agent.rollout.analysis
        stable, *candidates = tracks(agent)

        def seen(track: str | None, at: float | None = None) -> Figures:
            return figures(ask, namespace=self._namespace, agent=name, track=track, seconds=seconds, at=at)

        candidate = seen(candidates[0].label if candidates else stable.label)
        if candidate.restarts is None and agent.bounds[0] == 0:
            return Verdict.GOOD, "no pods, since there is no work for any"
        if candidates and not candidates[0].serves:
            # No request reaches it yet.
            return judge(candidate, None, analysis.model_copy(update={"min_requests": 0}))
        before = datetime.fromisoformat(release.since).timestamp() if release and release.since else None
        # Once the candidate has all requests, it is compared with what the stable version did before that.
        baseline = seen(stable.label, None if release and release.share < 100 else before)
        enough = baseline.requests >= max(1, analysis.min_requests)
        return judge(candidate, baseline if enough else None, analysis)


def _remaining(agent: AgentSettings, steps: Sequence[int]) -> list[int]:
    planned = {"rolling": [100], "blueGreen": [0, 100], "canary": list(steps)}[agent.rollout.strategy]
    if agent.release is None:
        return planned
    return [agent.release.share, *(share for share in planned if share > agent.release.share)]


def _described(agent: AgentSettings, share: int) -> str:
    running = tracks(agent)
    if agent.rollout.strategy != "canary" or len(running) < 2:
        return f"{share} %"
    stable, canary = (track.settings.bounds[0] for track in running)
    return f"{share} % ({canary} of {stable + canary} pods at least)"


def former(history: Sequence[Update], name: str | None, version: str | None) -> dict[str, dict[str, Any]]:
    """Return the groups of settings to restore, by agent: those of the newest update with `version`, or another one.

    `history` is newest first. The version to get away from is that of the last update that succeeded, so that an
    interrupted rollback, run again, restores the same. An update during a release stands for its stable version.

    Raises `SettingsError` where no update has it.
    """
    done = [update for update in history if update.succeeded]
    last = done[0].agents if done else {}
    for update in done:
        found = {}
        for agent in [name] if name else list(update.agents):
            group = {key: value for key, value in update.agents.get(agent, {}).items() if key != "release"}
            image = group.get("image")
            wanted = version is None and image != last.get(agent, {}).get("image")
            if image is not None and (wanted or version_of(image) == version):
                found[agent] = group
        if found:
            return found
    what = f"{name or 'any agent'}{f' with version {version}' if version else ' with another version'}"
    raise SettingsError(
        f"the history of this stack has no update of {what}: `agentstack releases` lists them; a version that stood in "
        "the agent's own file comes back by reverting that file"
    )
