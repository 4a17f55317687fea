"""waypostctl director: what it takes, and what it says of users and plans."""
import re
import shlex
import subprocess

import pytest

from control import CTL
from scripted_backend import hold
from test_director import (USERS, deliver, director, passdb,  # noqa: F401
                           servers)
from test_director_state import Directed, directed  # noqa: F401
from waiting import TIMEOUT, wait_until


def moved_seconds(world, user):
    return world.user(user).get("moved_seconds")


@pytest.mark.parametrize("words, seconds", [
    (["--for", "2h"], 7200),
    (["--for=30 mins"], 1800),
    (["--for", "1 day"], 86400),
    (["--for", "52weeks"], 52 * 7 * 86400),
    (["--for", "1 msec"], 1),  # and not for good
    (["--for", "90"], 90),
    (["90"], 90),
    (["0"], None),
    ([], None),
])
def test_a_move_for_a_time(directed, words, seconds):  # noqa: F811
    world = directed()
    user = USERS[0]
    there = world.other(world.server_of(user))
    world.ok("move", user, there.host, *words)
    left = moved_seconds(world, user)
    if seconds is None:
        assert left is None
        assert world.user(user)["moved_until"] == 0
    else:
        assert seconds - 5 <= left <= seconds


def test_options_stand_anywhere(directed):  # noqa: F811
    world = directed()
    there = world.other(world.server_of(USERS[0]))
    world.ok("move", "--for", "2h", USERS[0], there.host)
    assert moved_seconds(world, USERS[0]) > 7000
    world.ok("move", USERS[0], "--for", "3h", there.host, "")
    assert moved_seconds(world, USERS[0]) > 10000


@pytest.mark.parametrize("words, why", [
    (["--for"], "usage"),
    (["--for", "2h", "--for", "3h"], "usage"),
    (["--for", "2h", "tag", "more"], "usage"),
    (["--for", "-5"], "30 mins"),
    (["--for", "2 years"], "30 mins"),
    (["--for", "60 weeks"], "30 mins"),
    (["--for", "99999999999999999999"], "30 mins"),
    (["--for", "99999999999999999999 s"], "30 mins"),
    (["--for", "0x10"], "30 mins"),
    (["--for", ""], "30 mins"),
    (["--for", "soon"], "30 mins"),
])
def test_no_time(directed, words, why):  # noqa: F811
    world = directed()
    assert why in world.refused("move", USERS[0], world.made[0].host, *words)
    assert "moved" not in world.user(USERS[0])


def run_dump(world):
    """What it was, by running what it says."""
    dump = world.ok("dump").splitlines()
    for line in dump:
        words = shlex.split(line)
        assert words[:2] == ["waypostctl", "director"]
        world.ok(*words[2:])
    return dump


def test_dump_makes_it_as_it_was(servers, waypost):  # noqa: F811
    made = servers(4)
    plain, tagged = made[:2], made[2:]
    world = Directed(waypost, plain, director_mail_servers=" ".join(
        [s.host for s in plain] + [f"{s.host}@blue" for s in tagged]))
    blue = f"{tagged[0].host}@blue"
    world.ok("move", USERS[0], plain[0].host, "--for", "2h")
    world.ok("move", USERS[1], blue)
    world.ok("move", "it's@example.org", plain[1].host)
    world.ok("update", blue, "3")
    world.ok("drain", plain[0].host)
    dump = run_dump(world)
    assert len(dump) == 5
    for user, tag in ((USERS[0], ""), (USERS[1], "blue"),
                      ("it's@example.org", "")):
        world.ok("unmove", user, *([tag] if tag else []))
    world.ok("update", blue, "100")
    world.ok("up", plain[0].host)
    for line in dump:
        world.ok(*shlex.split(line)[2:])
    again = world.ok("dump").splitlines()
    assert [re.sub(r"\d+secs", "", line) for line in again] == \
        [re.sub(r"\d+secs", "", line) for line in dump]
    assert 7100 < moved_seconds(world, USERS[0]) <= 7200


def test_a_user_of_a_tag_is_moved_within_it(servers, waypost):  # noqa: F811
    made = servers(3)
    world = Directed(waypost, made, director_mail_servers=(
        f"{made[0].host} {made[1].host}@blue {made[2].host}@blue"))
    assert "another tag" in world.refused("move", USERS[0], made[1].host)
    assert "another tag" in world.refused("move", USERS[0],
                                          f"{made[1].host}@blue", "0", "red")
    for server in made[1:]:
        world.ok("move", USERS[0], f"{server.host}@blue")
        assert f"next        {server.host}" in \
            world.ok("status", USERS[0], "blue")
    assert "moved" not in world.user(USERS[0])


def why(world, user):
    answer = world.user(user)
    shown = world.ok("status", user)
    assert re.search(rf"^next +{answer['goes']}$", shown, re.M), shown
    assert re.search(rf"^why +{re.escape(answer['why'])}$", shown, re.M)
    return answer["goes"], answer["why"]


def test_why_a_user_is_where_he_is(directed):  # noqa: F811
    world = directed(director_user_expire="1 hour")
    user = USERS[0]
    home = world.server_of(user)
    there = world.other(home)
    assert why(world, user) == (home.host, "by the hash")
    deliver(world.proxy, [user])
    world.ok("drain", home.host)
    assert why(world, user) == (home.host, "the user is there, and stays")
    world.ok("move", user, there.host)
    assert why(world, user) == (there.host, "moved there")
    world.ok("up", home.host)
    world.ok("down", there.host)
    assert why(world, user) == (
        home.host, "by the hash: nobody is sent to where the user was moved")
    for server in world.made:
        world.ok("down", server.host)
    answer = world.user(user)
    assert answer["goes"] is None and "no server" in answer["why"]


def test_why_a_user_waits(directed):  # noqa: F811
    world = directed()
    user = USERS[0]
    home = world.server_of(user)
    there = world.other(home)
    home.on("dot", hold, times=1)
    with world.proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt(user) == 250
        assert client.command("DATA") == 354
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        home.wait_held()
        world.ok("move", user, there.host)
        assert why(world, user) == (
            there.host, f"moved there, once deliveries at {home.host} are "
                        "over")
        home.release()
        assert client.reply() == 250
    wait_until(lambda: why(world, user) == (there.host, "moved there"),
               "the end of the delivery")


def test_plan_says_how_many_users(directed):  # noqa: F811
    world = directed(director_hash="rendezvous")
    deliver(world.proxy)
    gone = world.made[0]
    there = world.status()[gone.host]["users"]
    assert there > 0
    plan = world.control.get(f"/v1/director/plan?change=down&host={gone.host}")
    assert abs(plan["moved_users"] - there) <= len(plan["moves"])
    assert plan["moved_users"] == sum(m["users"] for m in plan["moves"])
    assert abs(plan["moved_share"] -
               sum(m["share"] for m in plan["moves"])) < 1e-4
    shown = world.ok("plan", "down", gone.host)
    assert shown.splitlines()[0].split() == ["FROM", "TO", "SHARE", "USERS",
                                             "PINNED"]
    assert re.search(rf"^users +{plan['moved_users']}$", shown, re.M), shown
    same = world.control.get(f"/v1/director/plan?change=up&host={gone.host}")
    assert same["moves"] == [] and same["moved_users"] == 0


def test_plan_counts_users_who_were_moved(directed):  # noqa: F811
    """They go nowhere, unless it takes the server that they were moved to."""
    world = directed(director_hash="rendezvous")
    gone, there = world.made[:2]
    its = [user for user in USERS if world.server_of(user) is gone]
    world.ok("move", its[0], there.host)
    world.ok("move", its[1], gone.host)
    deliver(world.proxy)
    at = world.status()

    def plan(change, server):
        return world.control.get(
            f"/v1/director/plan?change={change}&host={server.host}")
    for change in "down", "remove":
        answer = plan(change, gone)
        assert answer["moved_pinned"] == 1
        assert answer["kept_pinned"] == 1
        assert {move["from"] for move in answer["moves"]} == {gone.host}
        answer = plan(change, there)
        assert [move["to"] for move in answer["moves"]
                if move["pinned"]] == [gone.host]
        assert answer["moved_pinned"] == answer["kept_pinned"] == 1
        assert abs(answer["moved_users"] - at[there.host]["users"]) <= \
            len(answer["moves"])
    kept = plan("drain", there)
    assert kept["moved_pinned"] == 0 and kept["kept_pinned"] == 2
    shown = world.ok("plan", "down", there.host)
    assert re.search("^pinned +1$", shown, re.M), shown
    assert re.search("^pinned who stay +1$", shown, re.M), shown
    world.ok("down", there.host)
    assert world.server_of(its[0]) is gone
    back = plan("up", there)
    assert [(move["from"], move["to"]) for move in back["moves"]
            if move["pinned"]] == [(gone.host, there.host)]


def test_a_weight_of_its_own(directed):  # noqa: F811
    world = directed()
    world.ok("add", "127.99.0.1", "7")
    assert world.status()["127.99.0.1"]["weight"] == 7
    world.ok("add", "127.99.0.2@blue", "8")
    assert world.status()["127.99.0.2"]["weight"] == 8
    assert world.status()["127.99.0.2"]["tag"] == "blue"
    assert "weight" in world.refused("add", "127.99.0.3", "1001")
    assert world.refused("add", "127.99.0.3*5", "6")
    plan = world.control.get(
        "/v1/director/plan?change=add&host=127.99.0.4&weight=0")
    assert plan["moves"] == []


@pytest.mark.parametrize("short, long", [("-h", "--help"),
                                         ("-V", "--version")])
def test_long_options(short, long):
    said = [subprocess.run([str(CTL), option], check=True, text=True,
                           capture_output=True, timeout=TIMEOUT).stdout
            for option in (short, long)]
    assert said[0] == said[1] != ""
    if short == "-h":
        assert "director move USER HOST [--for TIME] [TAG]" in said[0]


def test_plan_counts_users_who_only_stay(directed):  # noqa: F811
    """The hash names the drained server for nobody any more."""
    world = directed()
    deliver(world.proxy)
    gone = world.made[0].host
    world.ok("drain", gone)
    there = world.status()[gone]["users"]
    assert there > 0
    plan = world.control.get(f"/v1/director/plan?change=down&host={gone}")
    move, = plan["moves"]
    assert (move["from"], move["to"], move["users"]) == (gone, "any", there)
    assert plan["moved_users"] == there and plan["moved_share"] == 0
    assert re.search(rf"^{gone} +any ", world.ok("plan", "down", gone), re.M)
